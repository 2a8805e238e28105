"""Tests of the sizes that are read from Open-MAGVIT2's checkpoints."""

import pathlib

import chex
import numpy as np
import pytest

from tests.tokenizers.published import made
from videopoet_jax.core import errors
from videopoet_jax.tokenizers import importing
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.open_magvit2 import bundle
from videopoet_jax.tokenizers.open_magvit2 import config as config_lib
from videopoet_jax.tokenizers.open_magvit2 import convert
from videopoet_jax.tokenizers.published import layout
from videopoet_jax.tokenizers.quantizers import lfq

_TINY = {
  'num_bits': 5,
  'channels': 32,
  'channel_multipliers': (1, 2),
  'num_residual_blocks': 1,
}
# A multiplier of 1 keeps the frames: (2, 2) halves them.
IMAGE = config_lib.OpenMagvit2Config(**_TINY)
VIDEO = config_lib.OpenMagvit2Config(
  video=True, **(_TINY | {'channel_multipliers': (2, 2)})
)

# Arrays, parameters and a hash of all keys and shapes, of the modules that the
# authors' code (TencentARC/SEED-Voken) makes of the configurations that they
# published for these names.
PUBLISHED = {
  'imagenet_lfqgan_256_L': ({}, (339, 115_127_829, '13818d1f5f1e88d4')),
  'imagenet_lfqgan_128_L': (
    {'channel_multipliers': (1, 2, 2, 4)},
    (283, 112_021_653, 'df920f5f919bc234'),
  ),
  'pretrain_lfqgan_256_16384': (
    {'num_bits': 14}, (339, 115_094_033, 'd72a20224c252b79')
  ),
  'ucf101_lfqgan_128_L': (
    {'video': True, 'channel_multipliers': (1, 2, 2, 4)},
    (283, 370_547_349, '46cefabe11a2d36f'),
  ),
}  # fmt: skip


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_checkpoints_have_these_keys_and_shapes(name):
  settings, expected = PUBLISHED[name]
  config = config_lib.OpenMagvit2Config(**settings)
  shapes = bundle.OpenMagvit2.shapes(config)
  assert made.digest(shapes) == expected
  state = {
    key: np.broadcast_to(np.float32(0), shape)
    for key, shape in layout.shapes_of(shapes).items()
  }
  assert convert.infer_config(state, {}, pathlib.Path(name)) == config
  assert config.spec.temporal_stride == (4 if config.video else 1)
  levels = len(config.channel_multipliers) - 1
  assert config.spec.spatial_stride == 2**levels


def _imported(tmp_path, config):
  path = tmp_path / 'tiny.safetensors'
  params = made.write(path, bundle.OpenMagvit2, config)
  found = importing.import_tokenizer('open_magvit2', path, tmp_path / 'out')
  assert found.tokenizer.config == config
  chex.assert_trees_all_equal(found.tokenizer.params, params)
  return found, interface.load(tmp_path / 'out', 'visual_tokenizer')


def test_an_image_tokenizer_takes_frames_one_by_one(tmp_path):
  found, tokenizer = _imported(tmp_path, IMAGE)
  assert 'any number of frames, each for itself' in str(found)
  video = made.video(3, 6, 4)
  ids = tokenizer.encode(video)
  assert ids.shape == (2, 3, 3, 2) and ids.max() < 32
  np.testing.assert_array_equal(tokenizer.encode(video[:, 1:2]), ids[:, 1:2])
  pixels = tokenizer.decode(ids)
  assert pixels.shape == video.shape
  one = tokenizer.decode(ids[:, 1:2])
  np.testing.assert_allclose(one, pixels[:, 1:2], atol=1e-5)
  # Codes of ids are decoded as the ids are.
  codes = np.asarray(lfq.ids_to_codes(ids, 5))
  np.testing.assert_allclose(tokenizer.decode_codes(codes), pixels, atol=1e-5)
  with pytest.raises(errors.LayoutError, match='has a single cell'):
    tokenizer.decode(ids[:, :, :1, :1])


def test_a_video_tokenizer_sees_the_whole_clip(tmp_path):
  found, tokenizer = _imported(tmp_path, VIDEO)
  assert 'the ids of its first frames depend on the others' in str(found)
  video = made.video(5, 4, 6)
  ids = tokenizer.encode(video)
  assert ids.shape == (2, 3, 2, 3)
  assert tokenizer.decode(ids).shape == video.shape
  with pytest.raises(errors.LayoutError, match=r'1 \+ 2 k frames; use 3 or 5'):
    tokenizer.encode(video[:, :4])
  # One cell a frame is enough where there are several frames.
  assert tokenizer.decode(ids[:, :, :1, :1]).shape == (2, 5, 2, 2, 3)
  with pytest.raises(errors.LayoutError, match='has a single cell'):
    tokenizer.decode(ids[:, :1, :1, :1])


def test_other_kinds_are_refused():
  path = pathlib.Path('a.ckpt')
  learned = {'quantize.embedding.weight': np.zeros((4, 4))}
  with pytest.raises(errors.CheckpointError, match='a learned codebook'):
    convert.infer_config(learned, {}, path)
  with pytest.raises(errors.CheckpointError, match=r'conv_in\.weight is miss'):
    convert.infer_config({'a': np.zeros(1)}, {}, path)
  with pytest.raises(errors.ConfigError, match='a multiple of 32'):
    config_lib.OpenMagvit2Config(channels=48)
