"""Layers of pretrained image networks, on weights in PyTorch's layout.

Weights are a flat mapping from PyTorch's names to arrays. Images are
(batch, height, width, channels), float32.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

Weights = Mapping[str, jax.Array]


def along_channels(vector: jax.Array, values: jax.Array) -> jax.Array:
  """Reshapes one value a channel so that it broadcasts over `values`."""
  return jnp.reshape(vector, (1,) * (values.ndim - 1) + (-1,))


def convolution(
  images_NHWC: jax.Array,
  weights: Weights,
  name: str,
  *,
  stride: int = 1,
  padding: int | tuple[tuple[int, int], tuple[int, int]] = 0,
  groups: int = 1,
) -> jax.Array:
  """Convolves with `name.weight`, and adds `name.bias` if there is one.

  Args:
    images_NHWC: channels as the weight takes them.
    weights: weights of the network.
    name: name of the layer.
    stride: step over height and width.
    padding: zeros on every side, or ((top, bottom), (left, right)).
    groups: number of groups of channels.
  """
  if isinstance(padding, int):
    padding = ((padding, padding), (padding, padding))
  out = jax.lax.conv_general_dilated(
    images_NHWC,
    jnp.transpose(weights[f'{name}.weight'], (2, 3, 1, 0)),
    (stride, stride),
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )
  bias = weights.get(f'{name}.bias')
  return out if bias is None else out + along_channels(bias, out)


def same_padding(
  size: tuple[int, ...], kernel: int, stride: int
) -> tuple[tuple[int, int], tuple[int, int]]:
  """Returns TensorFlow's padding, whose odd zero is at the bottom and right."""
  height, width = (
    max((-(-length // stride) - 1) * stride + kernel - length, 0)
    for length in size
  )
  return (
    (height // 2, height - height // 2),
    (width // 2, width - width // 2),
  )


def batch_norm(
  images_NHWC: jax.Array, weights: Weights, name: str, epsilon: float = 1e-5
) -> jax.Array:
  """Batch normalization with the running statistics."""
  scale = weights[f'{name}.weight'] * jax.lax.rsqrt(
    weights[f'{name}.running_var'] + epsilon
  )
  shift = weights[f'{name}.bias'] - weights[f'{name}.running_mean'] * scale
  return images_NHWC * along_channels(scale, images_NHWC) + along_channels(
    shift, images_NHWC
  )


def layer_norm(
  images_NHWC: jax.Array, weights: Weights, name: str, epsilon: float = 1e-6
) -> jax.Array:
  """Layer normalization over channels."""
  mean = jnp.mean(images_NHWC, axis=-1, keepdims=True)
  variance = jnp.var(images_NHWC, axis=-1, keepdims=True)
  normal = (images_NHWC - mean) * jax.lax.rsqrt(variance + epsilon)
  scale, shift = (
    along_channels(weights[f'{name}.{leaf}'], normal)
    for leaf in ('weight', 'bias')
  )
  return normal * scale + shift


def linear(values: jax.Array, weights: Weights, name: str) -> jax.Array:
  """Maps (..., channels in) to (..., channels out)."""
  out = values @ weights[f'{name}.weight'].T
  return out + along_channels(weights[f'{name}.bias'], out)


def max_pool(
  images_NHWC: jax.Array, size: int, stride: int, padding: int = 0
) -> jax.Array:
  """Maximum over windows of `size` x `size`."""
  sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
  return jax.lax.reduce_window(
    images_NHWC,
    -jnp.inf,
    jax.lax.max,
    (1, size, size, 1),
    (1, stride, stride, 1),
    sides,
  )
