"""Parameters and activations that name their logical axes.

Layers say what each axis *is* (`embed`, `heads`, `mlp`, ...) and know nothing
of meshes; `parallel` maps the names to mesh axes.
"""

from collections.abc import Callable
import enum
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.layers import low_rank
from videopoet_jax.parallel import manual


class Kept(enum.StrEnum):
  """Names of results that a remat policy may keep for the backward pass."""

  QKV = 'qkv'
  ATTENTION = 'attention'
  OUT = 'attention_out'
  WIDE = 'mlp_wide'
  DOWN = 'mlp_down'


Initializer = Callable[..., jax.Array]


def param(
  module: nn.Module,
  name: str,
  init: Initializer,
  shape: tuple[int, ...],
  axes: tuple[str | None, ...],
  dtype: Any = jnp.float32,
) -> jax.Array:
  """Declares a parameter of `module` with one logical name an axis.

  Args:
    module: the module that owns it, inside `setup` or a compact method.
    name: name of the parameter.
    init: `init(key, shape, dtype)`.
    shape: sizes of the axes.
    axes: logical name of each axis, None for one that is never sharded.
    dtype: dtype that it is stored in.

  Returns:
    The value, unboxed; with a low-rank adapter added where it has one.
  """
  assert len(shape) == len(axes), (name, shape, axes)
  value = module.param(
    name, nn.with_logical_partitioning(init, axes), shape, dtype
  )
  return low_rank.adapted(module, name, value)


def constrain(array: jax.Array, axes: tuple[str | None, ...]) -> jax.Array:
  """States the logical axes of an activation; does nothing without a mesh.

  A dimension that its mesh axes do not divide stays whole on each of them.
  """
  return manual.constrain(array, axes)


def fan_in_init(
  in_axes: tuple[int, ...], out_axes: tuple[int, ...], scale: float = 1.0
) -> Initializer:
  """A truncated normal whose variance is `scale` over the number of inputs.

  Args:
    in_axes: axes of the kernel that are summed over.
    out_axes: the other axes.
    scale: variance of the output where the inputs' is one.
  """
  return nn.initializers.variance_scaling(
    scale, 'fan_in', 'truncated_normal', in_axis=in_axes, out_axis=out_axes
  )


def spread(vector: jax.Array, rank: int) -> jax.Array:
  """Gives a vector leading axes of size one, up to `rank` axes."""
  return vector.reshape((1,) * (rank - 1) + vector.shape)
