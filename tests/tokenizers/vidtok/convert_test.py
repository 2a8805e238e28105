"""Tests of the sizes that are read from VidTok's checkpoints."""

import pathlib

import chex
import numpy as np
import pytest

from tests.tokenizers.published import made
from videopoet_jax.core import errors
from videopoet_jax.tokenizers import importing
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.published import layout
from videopoet_jax.tokenizers.vidtok import bundle
from videopoet_jax.tokenizers.vidtok import config as config_lib
from videopoet_jax.tokenizers.vidtok import convert

TINY = config_lib.VidTokConfig(
  version='1.1',
  levels=(8, 8, 8),
  channels=8,
  channel_multipliers=(1, 2),
  num_residual_blocks=1,
  down_levels=(0,),
  up_levels=(1,),
)

# Arrays, parameters and a hash of all keys and shapes, of the modules that the
# authors' code (microsoft/VidTok) makes of the configurations that they
# published with the checkpoints of these names.
PUBLISHED = {
  'vidtok_fsq_causal_488_4096': (
    {'levels': (8,) * 4}, (416, 157_396_363, '0dd1c7683925a6de')
  ),
  'vidtok_fsq_causal_488_32768': ({}, (416, 157_424_012, '736c4342e5e1d259')),
  'vidtok_fsq_causal_488_262144': (
    {'levels': (8,) * 6}, (416, 157_451_661, '92d0cb57a28a6de0')
  ),
  'vidtok_fsq_causal_41616_262144': (
    {
      'levels': (8,) * 6,
      'channel_multipliers': (1, 2, 4, 4, 4),
      'down_levels': (2, 3),
    },
    (500, 198_967_949, '793b5dc01c859590'),
  ),
  'vidtok_fsq_causal_888_32768_v1_1': (
    {'version': '1.1', 'down_levels': (0, 1, 2), 'up_levels': (1, 2, 3)},
    (422, 164_944_910, '999b0b286539b2d1'),
  ),
}  # fmt: skip


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_checkpoints_have_these_keys_and_shapes(name):
  settings, expected = PUBLISHED[name]
  config = config_lib.VidTokConfig(**settings)
  shapes = bundle.VidTok.shapes(config)
  assert made.digest(shapes) == expected
  # The sizes are found again in the shapes and the file's name.
  state = {
    key: np.broadcast_to(np.float32(0), shape)
    for key, shape in layout.shapes_of(shapes).items()
  }
  path = pathlib.Path(f'{name}.ckpt')
  assert convert.infer_config(state, {}, path) == config


def test_a_file_becomes_a_tokenizer(tmp_path):
  path = tmp_path / 'tiny_v1_1.safetensors'
  params = made.write(path, bundle.VidTok, TINY)
  found = importing.import_tokenizer('vidtok', path, tmp_path / 'tokenizer')
  assert found.tokenizer.config == TINY
  chex.assert_trees_all_equal(found.tokenizer.params, params)
  loaded = interface.load(tmp_path / 'tokenizer', 'visual_tokenizer')
  assert isinstance(loaded, bundle.VidTok)
  assert loaded.spec.temporal_stride == 2 and loaded.spec.spatial_stride == 2
  video = made.video(5, 4, 4)
  ids = loaded.encode(video)
  assert (ids.shape, ids.dtype) == ((2, 3, 2, 2), np.int32)
  assert len(np.unique(ids)) > 3
  # The first frames of a clip have the first ids of the whole.
  np.testing.assert_array_equal(loaded.encode(video[:, :3]), ids[:, :2])
  np.testing.assert_array_equal(loaded.encode(video[:, :1]), ids[:, :1])
  pixels = loaded.decode(ids)
  assert (pixels.shape, pixels.dtype) == (video.shape, np.float32)
  with pytest.raises(errors.LayoutError, match=r'1 \+ 2 k frames; use 3 or 5'):
    loaded.encode(video[:, :4])
  with pytest.raises(errors.LayoutError, match='levels, not bits'):
    loaded.decode_codes(np.zeros((1, 1, 2, 2, 9), np.float32))
  with pytest.raises(errors.LayoutError, match="outside the tokenizer's 0 to"):
    loaded.decode(np.full((1, 1, 2, 2), 512))


def test_the_version_is_a_setting_or_in_the_name():
  state = layout.to_state(made.random_params(bundle.VidTok, TINY))

  def version(name, **settings):
    path = pathlib.Path(name)
    return convert.infer_config(state, settings, path).version

  assert version('a.ckpt') == '1.0'
  assert version('a_v1_1.ckpt') == '1.1'
  assert version('a.ckpt', version='1.1') == '1.1'
  with pytest.raises(errors.ConfigError, match=r'VidTokConfig.version is .2'):
    version('a.ckpt', version='2')
  with pytest.raises(errors.CheckpointError, match='2 entries.* 3 latent'):
    convert.infer_config(state, {'levels': (8, 8)}, pathlib.Path('a'))


def test_other_kinds_are_refused():
  state = layout.to_state(made.random_params(bundle.VidTok, TINY))
  path = pathlib.Path('a.ckpt')
  key = 'encoder.conv_out.conv.weight'
  doubled = np.concatenate((state[key], state[key]))
  with pytest.raises(errors.CheckpointError, match='continuous latents'):
    convert.infer_config(state | {key: doubled}, {}, path)
  not_causal = {'encoder.conv_in.weight': np.zeros((8, 3, 3, 3, 3))}
  with pytest.raises(errors.CheckpointError, match='not causal'):
    convert.infer_config(not_causal, {}, path)
  groups = state | {'encoder.norm_out.weight': np.zeros(16)}
  with pytest.raises(errors.CheckpointError, match='group normalization'):
    convert.infer_config(groups, {}, path)
  with pytest.raises(errors.CheckpointError, match='conv_in.conv.weight is mi'):
    convert.infer_config({'a': np.zeros(1)}, {}, path)
