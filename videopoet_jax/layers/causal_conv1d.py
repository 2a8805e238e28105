"""Causal one-dimensional convolutions for sound: strided, dilated, transposed.

Every convolution is *causal to the frame*: with stride s, output frame i is a
function of the samples before (i + 1) * s only. So a prefix of whole frames
gives exactly a prefix of the outputs, which is what lets audio tokens be
streamed and cut.
"""

from __future__ import annotations

from flax import linen as nn
import jax
import jax.numpy as jnp

_DIMENSIONS = ('NTC', 'TIO', 'NTC')
_KERNEL_AXES = ('conv_time', 'conv_in', 'conv_out')


def _parameters(
  module: nn.Module, kernel_size: int, in_features: int, features: int
) -> tuple[jax.Array, jax.Array]:
  """Declares a kernel (kernel_size, in_features, features) and a bias."""
  kernel = module.param(
    'kernel',
    nn.with_logical_partitioning(nn.initializers.lecun_normal(), _KERNEL_AXES),
    (kernel_size, in_features, features),
    jnp.float32,
  )
  bias = module.param(
    'bias',
    nn.with_logical_partitioning(nn.initializers.zeros_init(), ('conv_out',)),
    (features,),
    jnp.float32,
  )
  return kernel, bias


class CausalConv1D(nn.Module):
  """A convolution padded at the start and never at the end.

  Attributes:
    features: output channels.
    kernel_size: taps.
    stride: samples an output frame; the length must be a multiple of it.
    dilation: distance between taps, in samples.
  """

  features: int
  kernel_size: int
  stride: int = 1
  dilation: int = 1

  @nn.compact
  def __call__(self, x_BTC: jax.Array) -> jax.Array:
    """Convolves.

    Args:
      x_BTC: (batch, time, channels), time a multiple of `stride`.

    Returns:
      (batch, time / stride, features).
    """
    kernel, bias = _parameters(
      self, self.kernel_size, x_BTC.shape[-1], self.features
    )
    span = (self.kernel_size - 1) * self.dilation + 1
    # Padding by the span less the stride lets the last tap of frame i fall on
    # sample (i + 1) * stride - 1, the last one that the frame may see.
    y_BTC = jax.lax.conv_general_dilated(
      x_BTC,
      kernel.astype(x_BTC.dtype),
      window_strides=(self.stride,),
      padding=((span - self.stride, 0),),
      rhs_dilation=(self.dilation,),
      dimension_numbers=_DIMENSIONS,
    )
    return y_BTC + bias.astype(x_BTC.dtype)[None, None, :]


class CausalTransposedConv1D(nn.Module):
  """The mirror of a strided `CausalConv1D`: each frame becomes `stride`.

  Attributes:
    features: output channels.
    kernel_size: taps, at least `stride`; twice the stride overlaps neighbours.
    stride: output samples an input frame.
  """

  features: int
  kernel_size: int
  stride: int

  @nn.compact
  def __call__(self, x_BTC: jax.Array) -> jax.Array:
    """Upsamples.

    Args:
      x_BTC: (batch, frames, channels).

    Returns:
      (batch, frames * stride, features); sample n depends on the frames up to
      n // stride.
    """
    kernel, bias = _parameters(
      self, self.kernel_size, x_BTC.shape[-1], self.features
    )
    y_BTC = jax.lax.conv_general_dilated(
      x_BTC,
      kernel.astype(x_BTC.dtype),
      window_strides=(1,),
      padding=((self.kernel_size - 1, self.stride - 1),),
      lhs_dilation=(self.stride,),
      dimension_numbers=_DIMENSIONS,
    )
    return y_BTC + bias.astype(x_BTC.dtype)[None, None, :]
