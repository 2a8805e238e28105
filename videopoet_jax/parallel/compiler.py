"""Options of XLA's TPU compiler.

With the defaults a large step is a third slower: fusions around matrix products
get a small part of the fast memory, and collectives run on the core that
computes, where nothing can overlap them. docs/planning.md has the measurements.
"""

from collections.abc import Callable
import functools
import os
from typing import Any

import jax

# Where a user sets options of the TPU's runtime; these take precedence.
VARIABLE = 'LIBTPU_INIT_ARGS'

# Collectives run on the sparse cores, beside the computation. With all of
# them, an axis of the mesh may lie on one, two or three dimensions of the
# torus.
_ON_SPARSE_CORES = {
  'xla_tpu_enable_sparse_core_collective_offload_all_gather': True,
  'xla_tpu_enable_sparse_core_collective_offload_2d_all_gather': True,
  'xla_tpu_enable_sparse_core_collective_offload_3d_all_gather': True,
  'xla_tpu_enable_sparse_core_collective_offload_reduce_scatter': True,
  'xla_tpu_enable_sparse_core_collective_offload_all_reduce': True,
  'xla_tpu_use_single_sparse_core_for_all_gather_offload': True,
  'xla_tpu_use_tc_device_shape_on_sc': True,
  'xla_sc_disable_megacore_partitioning': True,
  # The other way to overlap a gather, which excludes this one.
  'xla_tpu_enable_async_collective_fusion_fuse_all_gather': False,
}
_VMEM = 'xla_tpu_scoped_vmem_limit_kib'

# By a device's name of its kind.
_OPTIONS: dict[str, dict[str, Any]] = {
  'TPU v5': {_VMEM: 49152, **_ON_SPARSE_CORES},
  'TPU v5p': {_VMEM: 49152, **_ON_SPARSE_CORES},
}


def jit(function: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
  """`jax.jit` with the compiler options of the present devices.

  The options are looked up at the first call, since a module is imported before
  the devices may be queried.

  Args:
    function: function to compile; not to be called from compiled code on a TPU,
      which takes options for the whole program only.
    **arguments: arguments of `jax.jit`.
  """

  @functools.cache
  def compiled() -> Callable[..., Any]:
    found = _of_kind(jax.devices()[0].device_kind)
    return jax.jit(function, compiler_options=found, **arguments)

  @functools.wraps(function)
  def call(*args: Any, **kwargs: Any) -> Any:
    return compiled()(*args, **kwargs)

  return call


def options(mesh: jax.sharding.Mesh) -> dict[str, Any] | None:
  """Options for `jax.jit(compiler_options=...)`.

  Args:
    mesh: mesh of the devices to compile for.

  Returns:
    Options by name that suit the chips and that the user has not set by
    `LIBTPU_INIT_ARGS`; None for chips that need none.
  """
  return _of_kind(mesh.devices.flat[0].device_kind)


def _of_kind(device_kind: str) -> dict[str, Any] | None:
  found = _OPTIONS.get(device_kind, {})
  given = os.environ.get(VARIABLE, '')
  kept = {name: value for name, value in found.items() if name not in given}
  return kept or None
