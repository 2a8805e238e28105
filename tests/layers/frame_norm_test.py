"""Tests of group normalization within a frame."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.layers import frame_norm


def _video(channels=6):
  rng = np.random.default_rng(0)
  # Far from centred: the variance must not be lost in rounding.
  return rng.normal(3.0, 2.0, (2, 5, 4, 6, channels)).astype(np.float32)


def _vectors(channels=6):
  rng = np.random.default_rng(1)
  return rng.normal(size=(2, channels)).astype(np.float32)


def _flax(video, scale, shift, num_groups):
  """Flax's norm of one frame at a time."""
  module = nn.GroupNorm(num_groups, epsilon=1e-6, use_fast_variance=False)
  frames = video.reshape(-1, *video.shape[2:])
  params = {'scale': scale, 'bias': shift}
  return module.apply({'params': params}, frames).reshape(video.shape)


def test_group_norm_is_of_one_frame():
  video = _video()
  out = np.asarray(frame_norm.normalize_groups(video, 2))
  groups = out.reshape(2, 5, 4, 6, 2, 3)
  np.testing.assert_allclose(groups.mean(axis=(2, 3, 5)), 0.0, atol=1e-5)
  np.testing.assert_allclose(groups.std(axis=(2, 3, 5)), 1.0, atol=1e-3)
  alone = frame_norm.normalize_groups(video[:, 2:3], 2)
  np.testing.assert_allclose(out[:, 2:3], alone, atol=1e-5)


@pytest.mark.parametrize('num_groups', [1, 2, 6])
def test_equals_flax_norm_and_swish(num_groups):
  video = _video()
  weights = np.random.default_rng(2).normal(size=video.shape)
  theirs, their_gradients = jax.value_and_grad(
    lambda *args: jnp.sum(weights * nn.swish(_flax(*args, num_groups))),
    argnums=(0, 1, 2),
  )(video, *_vectors())
  ours, our_gradients = jax.value_and_grad(
    lambda *args: jnp.sum(
      weights * frame_norm.normalize_and_swish(*args, num_groups)
    ),
    argnums=(0, 1, 2),
  )(video, *_vectors())
  np.testing.assert_allclose(ours, theirs, rtol=1e-5)
  for one, other in zip(our_gradients, their_gradients, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_keeps_the_dtype_and_computes_in_float32():
  video = jnp.asarray(_video(), jnp.bfloat16)
  out, pull = jax.vjp(
    lambda video: frame_norm.normalize_and_swish(video, *_vectors(), 2), video
  )
  assert out.dtype == jnp.bfloat16
  assert pull(out)[0].dtype == jnp.bfloat16
  wide = frame_norm.normalize_and_swish(
    video.astype(jnp.float32), *_vectors(), 2
  )
  np.testing.assert_allclose(
    out.astype(jnp.float32), wide, rtol=2**-8, atol=1e-6
  )
