"""A run that begins with another's parameters, one from before included."""

import json

import chex
import jax
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import opened
from videopoet_jax.checkpoints import tree as tree_lib
from videopoet_jax.core import errors
from videopoet_jax.layers import embeddings
from videopoet_jax.parallel import rules
from videopoet_jax.training import adaptation
from videopoet_jax.training import prefix_lm

_NAMES = (f'inpainting/{small.SIZE}', f'stylization/{small.SIZE}/image=1')


def _trainable(names=_NAMES, **changes):
  config = small.config(**changes)
  return prefix_lm.PrefixLMTrainable(config, small.SPACE, names)


def _write(folder, trainable):
  """A folder as a run leaves it, and its parameters."""
  _, params = small.build(trainable.config)
  tree_lib.save_tree(folder / opened.PARAMS, params)
  # Through JSON, as what is written is.
  described = json.loads(json.dumps(trainable.describe()))
  describe.write_description(folder, described)
  return params


def _shapes(trainable):
  device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  shapes = jax.eval_shape(lambda: trainable.init(jax.random.key(0)))
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
    rules.unbox(shapes),
  )


def test_a_run_from_before_is_adapted_and_what_is_new_is_said(tmp_path):
  limits = embeddings.PlaceLimits(features=0)
  with pytest.raises(errors.ConfigError, match='look the same'):
    _trainable(place_limits=limits)
  before = _trainable(_NAMES[:1], place_limits=limits)
  params = _write(tmp_path, before)
  held = describe.read_description(tmp_path)
  assert 'features' not in held['config']['place_limits']
  after, said = _trainable(), []
  found = adaptation.load(
    tmp_path, after.describe(), _shapes(after), said.append
  )
  assert len(said) == 1 and 'start at zero' in said[0]
  assert 'structure_tokens' in said[0]
  old, new = (np.asarray(x['place']['table']) for x in (params, found))
  np.testing.assert_array_equal(new[: len(old)], old)
  assert len(new) == len(old) + 16 and (new[len(old) :] == 0).all()
  del params['place'], params['next_place'], found['place'], found['next_place']
  chex.assert_trees_all_equal(found, params)


def test_nothing_is_said_of_the_same_model(tmp_path):
  trainable, said = _trainable(), []
  params = _write(tmp_path, trainable)
  found = adaptation.load(
    tmp_path, trainable.describe(), _shapes(trainable), said.append
  )
  chex.assert_trees_all_equal(found, params)
  assert not said


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'positions': 'rotary'}, "'learned_3d', wanted is 'rotary'"),
    ({'mlp_dim': 32}, 'other model.*mlp'),
  ],
)
def test_another_model_is_refused_in_one_line(tmp_path, changes, message):
  _write(tmp_path, _trainable())
  other = _trainable(**changes)
  with pytest.raises(errors.CheckpointError, match=message) as caught:
    adaptation.load(tmp_path, other.describe(), _shapes(other))
  assert '\n' not in str(caught.value)
