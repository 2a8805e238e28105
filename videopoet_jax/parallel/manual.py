"""Lets traced code query the mesh in use and run per device.

Layers name logical axes; here they meet the mesh that `mesh.use` set. XLA
cannot split a kernel that is opaque to it: such a function is written for the
part of each array that one device holds, and run on every device by
`on_each_device`.
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
  """The platform that traced code will run on: 'cpu', 'gpu' or 'tpu'.

  This is the platform of the mesh in use, even if this machine lacks its
  devices (compiling ahead of time); without a mesh it is JAX's default.
  """
  mesh = jax.sharding.get_abstract_mesh()
  device = None if mesh.empty else mesh.abstract_device
  name = jax.default_backend() if device is None else device.platform
  return 'gpu' if name in _GPU else name


def parts(name: str) -> int:
  """Number of parts that a logical axis is split into, if they divide it."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return 1
  (axes,) = nn.logical_to_mesh_axes((name,)) or (None,)
  return math.prod(
    mesh.shape[axis] for axis in rules.dividing(mesh.shape, axes, None)
  )


def spec(axes: Axes, shape: Sequence[int]) -> jax.sharding.PartitionSpec:
  """Partition of an array with these logical axes on the mesh in use.

  Args:
    axes: logical name of each dimension, None for one that is not split.
    shape: sizes; a dimension that mesh axes do not divide stays whole.
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
  """Returns a function of whole arrays that is computed part by part.

  Args:
    function: function of one device's parts.
    in_specs: trees of `PartitionSpec`, one an argument.
    out_specs: tree of `PartitionSpec` for the result.

  Returns:
    `function` itself where no mesh is in use.
  """
  if jax.sharding.get_abstract_mesh().empty:
    return function
  return jax.shard_map(
    function,
    in_specs=in_specs,
    out_specs=out_specs,
    # Kernels do not declare which axes their results vary over.
    check_vma=False,
  )
