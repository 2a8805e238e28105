"""The gated feed-forward layer (arXiv 2002.05202), without biases."""

from typing import Any

from flax import linen as nn
import jax
from jax import ad_checkpoint
import jax.numpy as jnp

from videopoet_jax.layers import linear
from videopoet_jax.layers import partitioning

_ACTIVATIONS = {'gelu': nn.gelu, 'silu': nn.silu, 'relu': nn.relu}


class GatedMLP(nn.Module):
  """`(activation(x gate) * (x up)) down`.

  Attributes:
    hidden_dim: width of the hidden layer.
    activation: 'gelu', 'silu' or 'relu'.
    dtype: dtype of the computation.
    param_dtype: dtype that kernels are stored in.
    output_scale: variance of the initial output where the input's is one.
  """

  hidden_dim: int
  activation: str = 'gelu'
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32
  output_scale: float = 1.0

  @nn.compact
  def __call__(self, inputs_BLD: jax.Array) -> jax.Array:
    """Maps (B, L, D) to (B, L, D)."""
    width = inputs_BLD.shape[-1]

    def kernel(name: str, scale: float, up: bool) -> jax.Array:
      shape = (width, self.hidden_dim) if up else (self.hidden_dim, width)
      axes = ('embed', 'mlp') if up else ('mlp', 'embed')
      init = partitioning.fan_in_init((0,), (1,), scale)
      value = partitioning.param(
        self, name, init, shape, axes, self.param_dtype
      )
      return value.astype(self.dtype)

    activation = _ACTIVATIONS[self.activation]
    name, kept = ad_checkpoint.checkpoint_name, partitioning.Kept
    gate_BLM = name(
      linear.project(inputs_BLD, kernel('gate', 1.0, True)), kept.WIDE
    )
    up_BLM = name(
      linear.project(inputs_BLD, kernel('up', 1.0, True)), kept.WIDE
    )
    hidden_BLM = partitioning.constrain(
      activation(gate_BLM) * up_BLM,
      ('activation_batch', 'activation_length', 'activation_mlp'),
    )
    down = kernel('down', self.output_scale, False)
    return name(linear.project(hidden_BLM, down), kept.DOWN)
