"""Tests of configs as JSON values."""

import dataclasses

import pytest

from videopoet_jax.core import descriptions
from videopoet_jax.core import errors


@dataclasses.dataclass(frozen=True)
class _Earlier:
  size: int = 3
  names: tuple[str, ...] = ('a', 'b')


@dataclasses.dataclass(frozen=True)
class _Now(_Earlier):
  kind: str = descriptions.later('plain')


@dataclasses.dataclass(frozen=True)
class _Outer:
  one: _Now
  several: tuple[_Now, ...]
  named: dict[str, _Now]


def test_a_later_field_at_its_default_leaves_the_values_alone():
  assert _Now().kind == 'plain'
  assert descriptions.values(_Now()) == dataclasses.asdict(_Earlier())
  assert descriptions.values(_Now(size=4)) == dataclasses.asdict(_Earlier(4))


def test_other_values_are_there():
  values = descriptions.values(_Now(kind='new'))
  assert values == {'size': 3, 'names': ('a', 'b'), 'kind': 'new'}
  assert _Now(**values) == _Now(kind='new')


def test_configs_within_configs_are_values_too():
  plain, new = _Now(), _Now(kind='new')
  values = descriptions.values(_Outer(plain, (plain, new), {'x': new}))
  short, long = descriptions.values(plain), descriptions.values(new)
  assert values == {
    'one': short,
    'several': (short, long),
    'named': {'x': long},
  }
  assert 'kind' not in short and 'kind' in long


def test_values_are_copies():
  @dataclasses.dataclass
  class Mutable:
    rows: list[list[int]]

  config = Mutable([[1]])
  descriptions.values(config)['rows'][0].append(2)
  assert config.rows == [[1]]


def test_another_kind_is_refused():
  descriptions.check_kind({'kind': 'toy'}, 'toy')
  with pytest.raises(errors.CheckpointError, match="'toy'; a 'model'"):
    descriptions.check_kind({'kind': 'toy'}, 'model')
