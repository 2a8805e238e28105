"""Presets by name with single settings changed: what may be asked for."""

import dataclasses

import pytest

from videopoet_jax.core import errors
from videopoet_jax.models import named


@dataclasses.dataclass(frozen=True)
class _Config:
  layers: int = 1
  kinds: tuple[str, ...] = ()


def _check(name='small', **changes):
  named.check(_Config, 'model', name, ('small', 'large'), changes)


def test_known_names_and_fields_pass():
  _check()
  _check('large', layers=3, kinds=['a'])


@pytest.mark.parametrize(
  ('name', 'changes', 'message'),
  [
    ('smal', {}, r"no model preset 'smal' \(did you mean 'small'"),
    ('small', {'layer': 1}, "_Config has no field 'layer'.*'layers'"),
    ('small', {'layers': 1.5}, '_Config.layers is 1.5; expected a whole'),
    ('small', {'layers': True}, '_Config.layers is True'),
    ('small', {'layers': 1, 'kinds': 'a'}, "_Config.kinds is 'a'; expected a"),
  ],
)
def test_others_are_refused(name, changes, message):
  with pytest.raises(errors.ConfigError, match=message):
    _check(name, **changes)
