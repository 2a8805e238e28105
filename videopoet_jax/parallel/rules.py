"""Maps the logical axes of arrays to the axes of the mesh.

Layers name what each dimension means ('embed', 'heads', ...) and know nothing
of meshes; a table of rules, bound in `gin/partitioning/`, maps the names. The
first rule that fits wins, and a mesh axis is used once an array.
"""

from collections.abc import Mapping, Sequence
import math
from typing import Any

from flax.core import meta
import flax.linen as nn
import jax

from videopoet_jax.core import errors

Rules = Sequence[tuple[str, str | tuple[str, ...] | None]]

# Names used by layers: dimensions of parameters, then of activations.
STANDARD: Rules = (
  ('layers', None),
  ('vocab', 'tensor'),
  # For the tables of large softmaxes: whole rows, so that no table is gathered.
  ('output_vocab', ('tensor', 'fsdp', 'sequence')),
  ('output_embed', None),
  ('heads', 'tensor'),
  ('kv_heads', 'tensor'),
  ('mlp', 'tensor'),
  ('embed', 'fsdp'),
  # For scales of norms: gathering them layer by layer costs more than they do.
  ('norm', None),
  ('conv_in', None),
  ('conv_out', 'fsdp'),
  ('head_dim', None),
  ('cell_features', None),
  ('batch', ('data', 'fsdp')),
  ('activation_batch', ('data', 'fsdp')),
  ('activation_length', 'sequence'),
  # Of frames, by convolutions: a device gets the rows and columns around its
  # own from its neighbours.
  ('activation_height', 'sequence'),
  ('activation_width', 'tensor'),
  ('activation_embed', None),
  ('activation_heads', 'tensor'),
  ('activation_kv_heads', 'tensor'),
  ('activation_mlp', 'tensor'),
  # Where the vocabulary is split instead of the batch.
  ('activation_loss_batch', 'data'),
  ('activation_vocab', ('tensor', 'fsdp', 'sequence')),
)


def is_boxed(leaf: Any) -> bool:
  """Whether a leaf carries the names of its dimensions."""
  return isinstance(leaf, meta.AxisMetadata)


def logical_axes(boxed: Any) -> Any:
  """Names of the dimensions of every parameter.

  Args:
    boxed: what a module's `init` returns, or its `jax.eval_shape`.

  Returns:
    The same tree with a `jax.sharding.PartitionSpec` of logical names (None
    for an unnamed dimension) in place of each parameter.
  """

  def names(leaf: Any) -> jax.sharding.PartitionSpec:
    if is_boxed(leaf):
      rank = len(leaf.unbox(apply_constraint=False).shape)
      given = tuple(leaf.get_partition_spec())
    else:
      rank, given = len(leaf.shape), ()
    return jax.sharding.PartitionSpec(*given, *(None,) * (rank - len(given)))

  return jax.tree.map(names, boxed, is_leaf=is_boxed)


def unbox(boxed: Any) -> Any:
  """The parameters without their axis names."""
  return jax.tree.map(
    lambda leaf: leaf.unbox(apply_constraint=False) if is_boxed(leaf) else leaf,
    boxed,
    is_leaf=is_boxed,
  )


def shardings(boxed: Any, mesh: jax.sharding.Mesh, rules: Rules) -> Any:
  """Returns the sharding of each parameter.

  A dimension that its mesh axis does not divide is kept whole on every device
  of that axis: true of a tiny model on many devices, and always correct.

  Args:
    boxed: parameters, or their shapes, boxed with logical axes.
    mesh: the device mesh.
    rules: logical to mesh axes.

  Returns:
    The unboxed tree with a `NamedSharding` for each parameter.
  """
  return jax.tree.map(
    lambda leaf, names: sharding(leaf.shape, names, mesh, rules),
    unbox(boxed),
    logical_axes(boxed),
  )


def sharding(
  shape: tuple[int, ...],
  names: jax.sharding.PartitionSpec,
  mesh: jax.sharding.Mesh,
  rules: Rules,
) -> jax.sharding.NamedSharding:
  """Returns the sharding of one parameter, see `shardings`.

  Args:
    shape: shape of the parameter.
    names: logical names of its dimensions.
    mesh: the device mesh.
    rules: logical to mesh axes.
  """
  spec = nn.logical_to_mesh_axes(tuple(names), list(rules))
  parts = []
  for size, axes in zip(shape, tuple(spec)):
    found = dividing(mesh.shape, axes, size)
    parts.append(found[0] if len(found) == 1 else found or None)
  return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*parts))


def dividing(
  mesh_shape: Mapping[str, int],
  axes: str | tuple[str, ...] | None,
  size: int | None,
) -> tuple[str, ...]:
  """Returns the first of some mesh axes that together divide a dimension.

  Args:
    mesh_shape: size of each mesh axis.
    axes: those that the rules name.
    size: size of the dimension; None is divided by all.
  """
  axes = (axes,) if isinstance(axes, str) else tuple(axes or ())
  found: list[str] = []
  parts = 1
  for axis in axes:
    parts *= mesh_shape[axis]
    if size is not None and size % parts:
      break
    found.append(axis)
  return tuple(found)


def replicated(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
  """Returns the sharding of a copy on every device."""
  return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def batch_sharding(
  mesh: jax.sharding.Mesh, rules: Rules = STANDARD
) -> jax.sharding.NamedSharding:
  """Splits the first dimension of a batch according to the rule of 'batch'."""
  spec = nn.logical_to_mesh_axes(('batch',), list(rules))
  return jax.sharding.NamedSharding(mesh, spec)


def part_of_batch(
  mesh: jax.sharding.Mesh, rules: Rules = STANDARD, process: int | None = None
) -> tuple[int, int]:
  """Returns which part of every batch a host holds, and the number of parts.

  Hosts that lie along an axis which does not split the batch, such as tensor,
  hold the same part. Parts are numbered by their first row.

  Args:
    mesh: mesh of all hosts.
    rules: logical to mesh axes.
    process: process index of the host; this one unless given.

  Raises:
    MeshError: two hosts would hold only some of their rows in common.
  """
  process = jax.process_index() if process is None else process
  sharding = batch_sharding(mesh, rules)
  held: dict[int, set[int]] = {}
  device: Any
  for device, index in sharding.devices_indices_map((mesh.size,)).items():
    rows = range(mesh.size)[index[0]]
    held.setdefault(device.process_index, set()).update(rows)
  parts = sorted({tuple(sorted(rows)) for rows in held.values()})
  if sum(map(len, parts)) > mesh.size or len(set(map(len, parts))) > 1:
    axes = ', '.join(f'{name}={size}' for name, size in mesh.shape.items())
    raise errors.MeshError(
      f'on the mesh {axes} hosts of {mesh.size // len(held)} devices would '
      'share some rows of a batch and not others: set MeshConfig so that '
      'tensor x sequence divide the devices of a host, or are a multiple of '
      'them'
    )
  return parts.index(tuple(sorted(held[process]))), len(parts)


def check_batch(
  size: int, mesh: jax.sharding.Mesh, rules: Rules = STANDARD
) -> None:
  """Raises MeshError unless the mesh divides a global batch of this size."""
  axes = batch_sharding(mesh, rules).spec[0]
  parts = _parts(mesh, axes)
  if size % parts:
    names = axes if isinstance(axes, str) else ' x '.join(axes)
    raise errors.MeshError(
      f'a batch of {size} examples cannot be split over the {parts} parts of '
      f'the mesh axes {names}: make the batch a multiple of {parts}, or set '
      f'MeshConfig so that {names} divide {size}'
    )


def _parts(mesh: jax.sharding.Mesh, axes: str | tuple[str, ...] | None) -> int:
  if axes is None:
    return 1
  axes = (axes,) if isinstance(axes, str) else axes
  return math.prod(mesh.shape[axis] for axis in axes)
