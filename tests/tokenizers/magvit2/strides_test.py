"""Tests of the visual tokenizer at other strides than the paper's."""

import dataclasses
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.tokenizers.magvit2 import bundle

_STRIDES = [(4, 2), (4, 4), (8, 2)]  # In space and time; others use (8, 4).


def _config(name, space, time):
  multipliers = {4: (1, 1, 2), 8: (1, 1, 2, 2)}[space]
  return dataclasses.replace(
    configs.BOTH[name],
    spatial_stride=space,
    temporal_stride=time,
    channel_multipliers=multipliers,
  )


@functools.cache
def _tokenizer(name, space, time):
  config = _config(name, space, time)
  params = jax.jit(lambda key: nn.unbox(bundle.init_params(config, key)))(
    jax.random.key(0)
  )
  return bundle.VisualTokenizer(config, params)


@pytest.mark.parametrize(('space', 'time'), _STRIDES)
@pytest.mark.parametrize('name', configs.BOTH)
def test_ids_have_the_strides_shape_and_decode(name, space, time):
  tokenizer = _tokenizer(name, space, time)
  frames = 1 + 2 * time
  rng = np.random.default_rng(0)
  video = rng.integers(0, 256, (1, frames, 16, 8, 3), np.uint8)
  ids = tokenizer.encode(video)
  assert ids.shape == (1, 3, 16 // space, 8 // space)
  assert ids.shape[1:] == tokenizer.spec.latent_shape(frames, 16, 8)
  assert tokenizer.decode(ids).shape == video.shape
  first = tokenizer.encode(video[:, : 1 + time])
  np.testing.assert_array_equal(first, ids[:, :2])


@pytest.mark.parametrize(('space', 'time'), _STRIDES)
@pytest.mark.parametrize('name', configs.BOTH)
def test_causal_to_the_frame(name, space, time):
  # Exactly, whatever rounding does: what comes later is not a number.
  tokenizer = _tokenizer(name, space, time)
  variables = {'params': tokenizer.params}
  encode = jax.jit(
    lambda video: tokenizer.module.apply(variables, video, method='latents')
  )
  decode = jax.jit(
    lambda codes: tokenizer.module.apply(
      variables, codes, method='decode_codes'
    )
  )
  rng = np.random.default_rng(0)
  video = rng.uniform(-1, 1, (1, 1 + 2 * time, 8, 8, 3)).astype(np.float32)
  before = np.asarray(encode(video))
  for known in (1, 1 + time):
    # The frame after the known ones is the first of the next latent frame.
    spoilt = video.copy()
    spoilt[:, known:] = np.nan
    after = np.asarray(encode(spoilt))
    held = tokenizer.spec.latent_frames(known)
    np.testing.assert_array_equal(before[:, :held], after[:, :held])
    assert np.isnan(after[:, held:]).any(axis=(0, 2, 3, 4)).all()
  # The last frame alone: only the last latent frame knows of it.
  spoilt = video.copy()
  spoilt[:, -1:] = np.nan
  after = np.asarray(encode(spoilt))
  np.testing.assert_array_equal(before[:, :2], after[:, :2])
  assert np.isnan(after[:, 2]).any()
  codes = jnp.where(before > 0, 1.0, -1.0)
  out = np.asarray(decode(codes))
  other = np.asarray(decode(codes.at[:, 2:].set(jnp.nan)))
  np.testing.assert_array_equal(out[:, : 1 + time], other[:, : 1 + time])
  assert np.isnan(other[:, 1 + time :]).any(axis=(0, 2, 3, 4)).all()
