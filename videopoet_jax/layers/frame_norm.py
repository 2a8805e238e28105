"""Group normalization within each frame, alone and with the swish after it.

Every statistic is first taken of each channel over height and width, then of
the few channels of a group. On a CPU, XLA takes several times as long for a sum
over height, width and a part of the channels at once.
"""

import functools

import jax
import jax.numpy as jnp


def _means(video_BTHWC: jax.Array, num_groups: int) -> jax.Array:
  """Means of each group within each frame, repeated for its channels."""
  batch, frames, _, _, channels = video_BTHWC.shape
  means = jnp.mean(video_BTHWC, axis=(2, 3)).reshape(
    batch, frames, num_groups, channels // num_groups
  )
  means = jnp.mean(means, axis=-1, keepdims=True)
  return jnp.broadcast_to(
    means, (batch, frames, num_groups, channels // num_groups)
  ).reshape(batch, frames, 1, 1, channels)


def _statistics(
  video_BTHWC: jax.Array, num_groups: int, epsilon: float
) -> tuple[jax.Array, jax.Array]:
  """Means and reciprocal standard deviations, each (B, T, 1, 1, C)."""
  mean = _means(video_BTHWC, num_groups)
  variance = _means(jnp.square(video_BTHWC - mean), num_groups)
  return mean, jax.lax.rsqrt(variance + epsilon)


def normalize_groups(
  video_BTHWC: jax.Array, num_groups: int, epsilon: float = 1e-6
) -> jax.Array:
  """Centres and scales each group of channels within each frame.

  Args:
    video_BTHWC: any float dtype.
    num_groups: must divide the channels.
    epsilon: added to the variance.

  Returns:
    float32 of the same shape.
  """
  video_BTHWC = video_BTHWC.astype(jnp.float32)
  mean, factor = _statistics(video_BTHWC, num_groups, epsilon)
  return (video_BTHWC - mean) * factor


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize_and_swish(
  video_BTHWC: jax.Array,
  scale_C: jax.Array,
  shift_C: jax.Array,
  num_groups: int,
  epsilon: float = 1e-6,
) -> jax.Array:
  """`swish(normalize_groups(video) * scale + shift)`.

  The backward pass keeps the input and the statistics alone, and computes the
  rest again: the activations of an encoder at full resolution are large, and
  reading them takes longer than an exponential.

  Args:
    video_BTHWC: any float dtype.
    scale_C: float32 factor of each channel.
    shift_C: float32 summand of each channel.
    num_groups: must divide the channels.
    epsilon: added to the variance.

  Returns:
    Shape and dtype of the video, computed in float32.
  """
  return _forward(video_BTHWC, scale_C, shift_C, num_groups, epsilon)[0]


def _spread(vector_C: jax.Array) -> jax.Array:
  return vector_C.reshape(1, 1, 1, 1, -1)


def _forward(
  video_BTHWC: jax.Array,
  scale_C: jax.Array,
  shift_C: jax.Array,
  num_groups: int,
  epsilon: float,
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
  wide = video_BTHWC.astype(jnp.float32)
  mean, factor = _statistics(wide, num_groups, epsilon)
  out = jax.nn.swish(
    (wide - mean) * factor * _spread(scale_C) + _spread(shift_C)
  )
  residuals = (video_BTHWC, mean, factor, scale_C, shift_C)
  return out.astype(video_BTHWC.dtype), residuals


def _backward(
  num_groups: int,
  epsilon: float,
  residuals: tuple[jax.Array, ...],
  gradient_BTHWC: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  del epsilon
  video_BTHWC, mean, factor, scale_C, shift_C = residuals
  normal = (video_BTHWC.astype(jnp.float32) - mean) * factor
  before = normal * _spread(scale_C) + _spread(shift_C)
  open_part = jax.nn.sigmoid(before)
  inner = gradient_BTHWC.astype(jnp.float32) * (
    open_part * (1.0 + before * (1.0 - open_part))
  )
  scale_gradient = jnp.sum(inner * normal, axis=(0, 1, 2, 3))
  shift_gradient = jnp.sum(inner, axis=(0, 1, 2, 3))
  inner = inner * _spread(scale_C)
  video_gradient = factor * (
    inner
    - _means(inner, num_groups)
    - normal * _means(inner * normal, num_groups)
  )
  return (
    video_gradient.astype(video_BTHWC.dtype),
    scale_gradient,
    shift_gradient,
  )


normalize_and_swish.defvjp(_forward, _backward)
