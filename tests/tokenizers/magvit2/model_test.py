"""Tests of the visual tokenizer's network, both architectures."""

import dataclasses
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.core import errors
from videopoet_jax.tokenizers.magvit2 import bundle
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.tokenizers.magvit2 import model as model_lib


@functools.cache
def _tokenizer(name):
  """A tokenizer of random weights."""
  config = configs.BOTH[name]
  return bundle.VisualTokenizer(config, configs.drawn(config))


def _video(frames=17, batch=2, height=32, width=32):
  """Patches of random colours: noise would be the same wherever one looks."""
  rng = np.random.default_rng(1)
  patches = rng.integers(
    0, 256, (batch, frames, height // 8, width // 8, 3), np.uint8
  )
  return patches.repeat(8, axis=2).repeat(8, axis=3)


@pytest.mark.parametrize('name', configs.BOTH)
def test_first_ids_are_those_of_the_first_frames(name):
  tokenizer = _tokenizer(name)
  whole = tokenizer.encode(_video())
  assert whole.shape == (2, 5, 4, 4)
  assert len(np.unique(whole)) > 20
  for latent_frames in (1, 3):
    frames = 1 + 4 * (latent_frames - 1)
    first = tokenizer.encode(_video()[:, :frames])
    np.testing.assert_array_equal(first, whole[:, :latent_frames])


@pytest.mark.parametrize('name', configs.BOTH)
def test_no_latent_depends_on_a_later_frame(name):
  # Exactly, whatever rounding does: what comes later is not a number.
  tokenizer = _tokenizer(name)
  latents = jax.jit(
    lambda video: tokenizer.module.apply(
      {'params': tokenizer.params}, video, method='latents'
    )
  )
  video = bundle.from_pixels(_video())
  spoilt = video.copy()
  spoilt[:, 9:] = np.nan
  before, after = np.asarray(latents(video)), np.asarray(latents(spoilt))
  np.testing.assert_array_equal(before[:, :3], after[:, :3])
  assert np.isnan(after[:, 3:]).any(axis=(0, 2, 3, 4)).all()


@pytest.mark.parametrize('name', configs.BOTH)
def test_no_frame_depends_on_a_later_latent(name):
  tokenizer = _tokenizer(name)
  ids = tokenizer.encode(_video())
  changed = ids.copy()
  changed[:, 3:] ^= 63
  video, other = tokenizer.decode(ids), tokenizer.decode(changed)
  assert video.shape == (2, 17, 32, 32, 3)
  assert np.abs(video).max() <= 1.0
  np.testing.assert_array_equal(video[:, :9], other[:, :9])
  assert (video[:, 9:] != other[:, 9:]).any(axis=(0, 2, 3, 4)).all()


@pytest.mark.parametrize(
  ('frames', 'height', 'width', 'expected'),
  [
    (1, 128, 128, (1, 16, 16)),
    (17, 128, 128, (5, 16, 16)),
    (17, 224, 128, (5, 28, 16)),
    (41, 128, 128, (11, 16, 16)),
    (41, 224, 128, (11, 28, 16)),
  ],
)
def test_shapes_at_full_size(frames, height, width, expected):
  config = config_lib.VisualTokenizerConfig()
  module = model_lib.VisualTokenizerModel(config)
  params = _full_size_params()
  video = jax.ShapeDtypeStruct((2, frames, height, width, 3), jnp.float32)
  encode = functools.partial(module.apply, method='encode')
  decode = functools.partial(module.apply, method='decode')
  ids = jax.eval_shape(encode, {'params': params}, video)
  assert (ids.shape, ids.dtype) == ((2, *expected), jnp.int32)
  assert config.spec.latent_shape(frames, height, width) == expected
  assert config.spec.codebook_size == 262_144
  out = jax.eval_shape(decode, {'params': params}, ids)
  assert (out.shape, out.dtype) == (video.shape, jnp.float32)


@functools.cache
def _full_size_params():
  config = config_lib.VisualTokenizerConfig()
  return nn.unbox(
    jax.eval_shape(
      lambda rng: bundle.init_params(config, rng), jax.random.key(0)
    )
  )


def test_full_size_has_hundreds_of_millions_of_parameters():
  count = sum(leaf.size for leaf in jax.tree.leaves(_full_size_params()))
  assert 300e6 < count < 400e6


@pytest.mark.parametrize(
  ('shape', 'message'),
  [
    ((1, 16, 32, 32, 3), '13 or 17'),
    ((1, 17, 30, 32, 3), 'height 30'),
    ((1, 17, 32, 36, 3), 'width 36'),
    ((1, 17, 32, 32, 1), 'frames, height, width, 3'),
    ((17, 32, 32, 3), 'frames, height, width, 3'),
  ],
)
def test_impossible_shapes_are_refused(shape, message):
  tokenizer = _tokenizer('patch')
  with pytest.raises(errors.LayoutError, match=message):
    tokenizer.encode(np.zeros(shape, np.uint8))
  with pytest.raises(errors.LayoutError, match=message):
    jax.eval_shape(
      lambda video: tokenizer.encode_batch(tokenizer.params, video),
      jax.ShapeDtypeStruct(shape, jnp.float32),
    )


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'architecture': 'vqgan'}, 'magvit2, patch'),
    ({'num_bits': 0}, 'num_bits'),
    ({'temporal_stride': 3}, 'temporal_stride'),
    ({'channel_multipliers': (1, 2)}, 'channel_multipliers'),
    ({'channels': 100}, 'norm_groups'),
    ({'architecture': 'patch', 'patch_size': 3}, 'patch_size'),
  ],
)
def test_impossible_configs_are_refused(settings, message):
  with pytest.raises(errors.ConfigError, match=message):
    config_lib.VisualTokenizerConfig(**settings)


def test_pixels_survive_the_model_range():
  pixels = np.arange(256, dtype=np.uint8)
  values = bundle.from_pixels(pixels)
  assert (values.min(), values.max()) == (-1.0, 1.0)
  np.testing.assert_array_equal(bundle.to_pixels(values), pixels)


def test_normalized_latents_keep_every_id():
  plain = _tokenizer('patch')
  config = dataclasses.replace(configs.PATCH, normalize_latents=True)
  normal = bundle.VisualTokenizer(config, plain.params)
  video = _video(frames=5)
  np.testing.assert_array_equal(normal.encode(video), plain.encode(video))
  latents = normal.module.apply(
    {'params': normal.params}, bundle.from_pixels(video), method='latents'
  )
  np.testing.assert_allclose(
    np.mean(np.square(latents), axis=-1), 1.0, rtol=1e-4
  )
