"""Root-mean-square normalization (arXiv 1910.07467), without a bias."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.layers import partitioning


class RMSNorm(nn.Module):
  """Divides by the root mean square over the last axis, then scales.

  Attributes:
    dtype: dtype of the result; the mean is float32 or wider.
    param_dtype: dtype that the scale is stored in.
    epsilon: added to the mean square.
    axis_name: logical name of the last axis.
  """

  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32
  epsilon: float = 1e-6
  axis_name: str = 'norm'

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    """Normalizes an array of any shape."""
    scale = partitioning.param(
      self,
      'scale',
      nn.initializers.ones,
      (inputs.shape[-1],),
      (self.axis_name,),
      self.param_dtype,
    )
    wide_type = jnp.promote_types(inputs.dtype, jnp.float32)
    wide = inputs.astype(wide_type)
    square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    normal = wide * jax.lax.rsqrt(square + self.epsilon)
    wide_scale = partitioning.spread(scale.astype(wide_type), inputs.ndim)
    return (normal * wide_scale).astype(self.dtype)
