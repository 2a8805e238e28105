"""Tests of the sizes that are read from Cosmos' checkpoints."""

import pathlib

import chex
import numpy as np
import pytest

from tests.tokenizers.published import made
from videopoet_jax.core import errors
from videopoet_jax.tokenizers import importing
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.cosmos import bundle
from videopoet_jax.tokenizers.cosmos import config as config_lib
from videopoet_jax.tokenizers.cosmos import convert
from videopoet_jax.tokenizers.published import layout

TINY = config_lib.CosmosConfig(
  temporal_stride=4,
  spatial_stride=8,
  channels=8,
  channel_multipliers=(1, 2),
  num_residual_blocks=1,
  latent_channels=7,
)


def _all_shapes(config):
  """Shapes with those of the convolutions that strides leave unused."""
  shapes = dict(layout.shapes_of(bundle.Cosmos.shapes(config)))
  kernels = {
    'encoder.down.{}.downsample': [(1, 3, 3), (3, 1, 1), (1, 1, 1)],
    'decoder.up.{}.upsample': [(3, 1, 1), (1, 3, 3), (1, 1, 1)],
  }
  last = len(config.channel_multipliers) - 1
  for pattern, sizes in kernels.items():
    for level in range(last):
      below = level if pattern.startswith('encoder') else level + 1
      features = config.channels * config.channel_multipliers[below]
      for index, size in enumerate(sizes, 1):
        name = f'{pattern.format(below)}.conv{index}.conv3d'
        shapes[f'{name}.weight'] = (features, features, *size)
        shapes[f'{name}.bias'] = (features,)
  return shapes


@pytest.mark.parametrize(
  ('strides', 'used'),
  [
    ((4, 8), (306, 104_669_558)),
    ((8, 8), (310, 105_653_366)),
    ((8, 16), (318, 110_898_294)),
  ],
)
def test_published_checkpoints_have_these_keys_and_shapes(strides, used):
  config = config_lib.CosmosConfig(*strides)
  shapes = bundle.Cosmos.shapes(config)
  assert made.digest(shapes)[:2] == used
  # Those that the authors' code (NVIDIA/Cosmos-Tokenizer) makes of its
  # configuration `discrete_video`, whatever the strides.
  found = _all_shapes(config)
  assert sum(map(np.prod, found.values())) == 112_472_182
  assert made.digest_of(found) == 'dc303d7173054fed'
  state = {
    key: np.broadcast_to(np.float32(0), shape) for key, shape in found.items()
  }
  name = 'Cosmos-0.1-Tokenizer-DV{}x{}x{}'.format(*strides, strides[1])
  path = pathlib.Path('models', name, 'autoencoder.jit')
  assert convert.infer_config(state, {}, path) == config


def test_strides_decide_where_time_and_space_change():
  def plan(time, space):
    config = config_lib.CosmosConfig(time, space)
    return [config.halves(level) for level in (0, 1)], [
      config.doubles(level) for level in (2, 1)
    ]

  both, space, none = (True, True), (False, True), (False, False)
  assert plan(8, 16) == ([both, space], [space, both])
  assert plan(8, 8) == ([both, none], [none, both])
  assert plan(4, 8) == ([space, none], [space, none])
  for wrong in ((2, 8), (8, 4), (8, 32), (6, 8), (16, 8)):
    with pytest.raises(errors.ConfigError, match='CosmosConfig'):
      config_lib.CosmosConfig(*wrong)


def test_a_file_becomes_a_tokenizer(tmp_path):
  path = tmp_path / 'DV4x8x8.safetensors'
  constant = {'encoder.patcher3d.wavelets': np.zeros(2, np.float32)}
  unused = {'decoder.up.1.upsample.conv1.conv3d.bias': np.zeros(16)}
  params = made.write(path, bundle.Cosmos, TINY, constant | unused)
  found = importing.import_tokenizer('cosmos', path, tmp_path / 'out')
  assert found.tokenizer.config == TINY and found.left_out == 2
  chex.assert_trees_all_equal(found.tokenizer.params, params)
  tokenizer = interface.load(tmp_path / 'out', 'visual_tokenizer')
  video = made.video(9, 8, 16)
  ids = tokenizer.encode(video)
  assert ids.shape == (2, 3, 1, 2) and ids.max() < 64_000
  np.testing.assert_array_equal(tokenizer.encode(video[:, :5]), ids[:, :2])
  np.testing.assert_array_equal(tokenizer.encode(video[:, :1]), ids[:, :1])
  pixels = tokenizer.decode(ids)
  assert pixels.shape == video.shape
  with pytest.raises(errors.LayoutError, match=r'1 \+ 4 k frames; use 5 or 9'):
    tokenizer.encode(video[:, :8])


def test_what_is_missing_is_named():
  state = layout.to_state(made.random_params(bundle.Cosmos, TINY))
  path = pathlib.Path('model.jit')
  with pytest.raises(errors.CheckpointError, match='strides are neither in'):
    convert.infer_config(state, {}, path)
  strides = {'temporal_stride': 4, 'spatial_stride': 8}
  assert convert.infer_config(state, strides, path) == TINY
  half = {key: value for key, value in state.items() if 'decoder' not in key}
  with pytest.raises(errors.CheckpointError, match='has no decoder: give the'):
    convert.infer_config(half, strides, path)
  with pytest.raises(errors.CheckpointError, match='6 latent.* and 2 levels'):
    convert.infer_config(state, {**strides, 'levels': (8, 8)}, path)
  image = {'encoder.conv_in.weight': np.zeros(1)}
  with pytest.raises(errors.CheckpointError, match='tokenizer of images'):
    convert.infer_config(image, strides, path)
  stored = state | {'quantizer._levels': np.asarray([4, 4, 4, 4, 4, 4])}
  assert convert.infer_config(stored, strides, path).levels == (4,) * 6
