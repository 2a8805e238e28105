"""The model and its layouts as JSON, there and back."""

import dataclasses
import json

import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.core import tasks
from videopoet_jax.layers import embeddings
from videopoet_jax.models.prefix_lm import description

_NAMES = (f'text_to_video/{small.SIZE}',)
_OWN = tasks.TaskTemplate(
  'mine', 'video', ('visual:depth[:1]',), options=(('k', 1),), closed=False
)


def _described(config=None, space=small.SPACE):
  made = description.describe(config or small.config(), space, _NAMES)
  return json.loads(json.dumps(made))


def test_a_users_task_travels_with_the_model():
  space = dataclasses.replace(
    small.SPACE, templates=(*small.SPACE.templates, _OWN)
  )
  described = _described(space=space)
  assert described['kind'] == description.KIND
  config, found, names = description.read({**described, 'later': 1})
  assert (config, found, names) == (small.config(), space, _NAMES)
  assert found.template('mine') == _OWN
  assert found.features[-1] == 'depth'
  assert found.layout(f'mine/{small.SIZE}') == space.layout(
    f'mine/{small.SIZE}'
  )


def test_an_earlier_model_is_described_without_features():
  config = small.config(place_limits=embeddings.PlaceLimits(features=0))
  described = _described(config)
  assert 'features' not in described['space']
  found, space, _ = description.read(described)
  assert found == config and space == small.SPACE


def test_another_kind_is_refused():
  with pytest.raises(errors.CheckpointError, match="of kind 'other'; a 'pre"):
    description.read({**_described(), 'kind': 'other'})
  with pytest.raises(errors.CheckpointError, match='of kind None'):
    description.read({})


@pytest.mark.parametrize('part', ['config', 'vocabulary', 'space', 'layouts'])
def test_a_missing_part_is_told(part):
  described = _described()
  del described[part]
  with pytest.raises(errors.CheckpointError, match=f"this version: '{part}'"):
    description.read(described)


def test_an_unknown_part_is_told():
  described = _described()
  described['vocabulary']['more'] = 1
  with pytest.raises(errors.CheckpointError, match='of this version: .*more'):
    description.read(described)
