"""What code that is being traced may ask of the mesh in use, and tell it.

Layers name logical axes; here they meet the mesh that `mesh.use` put in place.
XLA does not split a kernel that it cannot look into: such a function is
written for the part of each array that one device holds, and run on every
device by `on_each_device`.
"""

from collections.abc import Callable, Sequence
import math
from typing import Any

import flax.linen as nn
import jax

from videopoet_jax.parallel import rules

Axes = tuple[str | None, ...]

_GPU = ('gpu', 'cuda', 'rocm')


def platform() -> str:
  """What the code being traced will run on: 'cpu', 'gpu' or 'tpu'.

  The mesh in use knows, even where it is of devices that this machine does
  not have (compiling ahead of time); without a mesh it is JAX's default.
  """
  mesh = jax.sharding.get_abstract_mesh()
  device = None if mesh.empty else mesh.abstract_device
  name = jax.default_backend() if device is None else device.platform
  return 'gpu' if name in _GPU else name


def parts(name: str) -> int:
  """Parts that a logical axis is split into where they divide its size."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return 1
  (axes,) = nn.logical_to_mesh_axes((name,)) or (None,)
  return math.prod(
    mesh.shape[axis] for axis in rules.dividing(mesh.shape, axes, None)
  )


def spec(axes: Axes, shape: Sequence[int]) -> jax.sharding.PartitionSpec:
  """How an array with these logical axes lies on the mesh in use.

  Args:
    axes: logical name of each dimension, None for one that is not split.
    shape: sizes; what mesh axes do not divide is whole on each of them.
  """
  mesh = jax.sharding.get_abstract_mesh()
  found = None if mesh.empty else nn.logical_to_mesh_axes(axes)
  if found is None:
    found = jax.sharding.PartitionSpec(*(None,) * len(axes))
  return jax.sharding.PartitionSpec(
    *(
      rules.dividing(mesh.shape, mesh_axes, size) or None
      for mesh_axes, size in zip(found, shape, strict=True)
    )
  )


def constrain(array: jax.Array, axes: Axes) -> jax.Array:
  """States the logical axes of an array.

  Nothing happens without a mesh, or with one and no rules: None would then
  mean a copy on every device.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or not nn.get_logical_axis_rules():
    return array
  return jax.lax.with_sharding_constraint(array, spec(axes, array.shape))


def on_each_device(
  function: Callable[..., Any], in_specs: Any, out_specs: Any
) -> Callable[..., Any]:
  """`function` of whole arrays, computed part by part.

  Args:
    function: of one device's parts.
    in_specs: trees of `PartitionSpec`, one an argument.
    out_specs: likewise, of the result.

  Returns:
    `function` itself where no mesh is in use.
  """
  if jax.sharding.get_abstract_mesh().empty:
    return function
  return jax.shard_map(
    function,
    in_specs=in_specs,
    out_specs=out_specs,
    # Kernels do not say which axes their results vary over.
    check_vma=False,
  )
