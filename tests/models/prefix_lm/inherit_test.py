"""Checkpoints from before, and rows of features found by their names."""

import dataclasses
import json

import chex
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.core import tasks
from videopoet_jax.layers import embeddings
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import description
from videopoet_jax.models.prefix_lm import inherit

_LAYOUT = f'stylization/{small.SIZE}/image=1'
_EARLIER = embeddings.PlaceLimits(features=0)


def _own(name, *features):
  prefix = tuple(f'visual:{feature}' for feature in features)
  return tasks.TaskTemplate(name, 'video', prefix)


def _space(*templates):
  return dataclasses.replace(
    small.SPACE, templates=(*tasks.TEMPLATES, *templates)
  )


def _described(config, space=small.SPACE):
  return json.loads(json.dumps(description.describe(config, space, (_LAYOUT,))))


def _as_before(described):
  """As versions without identities wrote it."""
  described = json.loads(json.dumps(described))
  del described['config']['place_limits']['features']
  del described['space']['features']
  return described


def _hidden(config, params, name):
  layout = small.SPACE.layout(name)
  model = small.model_lib.PrefixLM(config, small.SPACE.vocabulary)
  tokens_BL = small.tokens(layout, 1)
  return np.asarray(
    model.apply(
      {'params': params},
      tokens_BL,
      np.ones(tokens_BL.shape, bool),
      layout,
      method='hidden',
    )
  )


@pytest.mark.parametrize('positions', ['learned_3d', 'rotary', 't5_buckets'])
def test_a_checkpoint_from_before_is_the_model_it_was(positions):
  described = _as_before(_described(small.config(positions=positions)))
  config, space, _ = description.read(described)
  assert config.place_limits.features == 0 and config.is_earlier
  assert config.positions == positions.replace('t5_buckets', 't5_sequence')
  _, params = small.build(config)
  # Shapes of before: roles, and with learned positions every coordinate.
  rows = 8 + (16 + 32 + 32 + 256 + 8 + 64) * (positions == 'learned_3d')
  assert params['place']['table'].shape == (rows, config.width)
  if positions == 't5_buckets':
    assert params['relative_bias']['table'].shape == (32, config.num_heads)
  # It is written as it was, so a run from before resumes.
  assert _described(config, space) == described
  with pytest.raises(errors.ConfigError, match='look the same.*--init_from'):
    config.check(space.vocabulary, (space.layout(_LAYOUT),))
  config.check(space.vocabulary, (space.layout(f'inpainting/{small.SIZE}'),))


def test_a_description_without_limits_is_from_before_too():
  described = config_lib.to_description(small.config())
  del described['place_limits']
  assert config_lib.from_description(described).place_limits == _EARLIER


def test_adapted_from_before_it_predicts_the_same_and_says_what_is_new():
  before = small.config(place_limits=_EARLIER)
  _, params = small.build(before)
  found = _as_before(_described(small.config()))
  config = small.config()
  adapted, said = inherit.adapt(params, found, _described(config))
  assert 'place: text, video_tokens, inpainting_tokens' in said[0]
  name = f'inpainting/{small.SIZE}'
  np.testing.assert_allclose(
    _hidden(config, adapted, name), _hidden(before, params, name), atol=1e-6
  )


def test_rows_follow_their_features_by_name():
  first = _space(_own('a', 'depth', 'edges'))
  second = _space(_own('b', 'pose', 'edges'), _own('c', 'depth'))
  assert first.features[-2:] == ('depth', 'edges')
  assert second.features[-3:] == ('pose', 'edges', 'depth')
  config = small.config()
  _, params = small.build(config)
  adapted, said = inherit.adapt(
    params, _described(config, first), _described(config, second)
  )
  start = config.place_limits.rows(True)['features',]
  for table in ('place', 'next_place'):
    old = np.asarray(params[table]['table'])
    new = np.asarray(adapted[table]['table'])
    np.testing.assert_array_equal(new[: start + 6], old[: start + 6])
    np.testing.assert_array_equal(new[start + 7], old[start + 7])  # edges
    np.testing.assert_array_equal(new[start + 8], old[start + 6])  # depth
    assert (new[start + 6] == 0).all()  # pose
  assert said == ['place: pose', 'next_place: pose']


def test_the_same_tables_stay_as_they_are():
  config = small.config()
  _, params = small.build(config)
  adapted, said = inherit.adapt(params, _described(config), _described(config))
  assert not said
  chex.assert_trees_all_equal(adapted, params)


def test_other_positions_are_refused():
  config = small.config(positions='t5_buckets', cell_inputs=())
  before = _as_before(_described(config))
  with pytest.raises(errors.CheckpointError, match="'t5_sequence'.*set"):
    inherit.adapt({}, before, _described(config))


def test_a_space_keeps_the_order_that_a_checkpoint_has():
  first = _space(_own('a', 'depth', 'edges'))
  described = _described(small.config(), first)
  _, read, _ = description.read(described)
  assert read == first
  more = dataclasses.replace(read, templates=(_own('d', 'pose', 'edges'),))
  assert more.features == (*first.features, 'pose')


def test_more_features_than_rows_are_refused():
  names = [f'own_{number}' for number in range(11)]
  space = _space(_own('many', *names))
  layout = space.layout(f'many/{small.SIZE}')
  with pytest.raises(errors.ConfigError, match=r'PlaceLimits.features is 16'):
    small.config().check(space.vocabulary, (layout,))
  limits = embeddings.PlaceLimits(features=17)
  config = small.config(place_limits=limits)
  config.check(space.vocabulary, (layout,))
