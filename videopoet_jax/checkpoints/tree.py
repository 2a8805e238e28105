"""One pytree of arrays in a folder of its own, written by Orbax."""

from collections.abc import Collection
import os
import pathlib
import tempfile
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from videopoet_jax.checkpoints import quiet
from videopoet_jax.core import errors
from videopoet_jax.core import storage


def save_tree(path: str | os.PathLike[str], tree: Any) -> None:
  """Writes a pytree of arrays, replacing what the folder held.

  Args:
    path: folder to write; its parent must exist.
    tree: nested dicts, lists or named tuples of arrays, unboxed.

  Raises:
    CheckpointError: if it cannot be written.
  """
  path = storage.absolute(path)
  try:
    # Tried first: Orbax would fail in a thread that then keeps the process.
    if not storage.is_remote(path):
      os.rmdir(tempfile.mkdtemp(dir=path.parent))
    with ocp.StandardCheckpointer() as checkpointer:
      checkpointer.save(path, tree, force=True)
  # TensorStore raises ValueErrors with the system's words in them.
  except Exception as error:
    reason = storage.failure(error)
    if not reason:
      raise
    raise errors.CheckpointError(
      f'cannot write {path}: {reason}; make room, or give a folder that can be'
      ' written.'
    ) from error


def read_numpy(path: pathlib.Path, parts: Collection[str] = ()) -> Any:
  """Reads a saved tree as numpy arrays, whatever it was saved from.

  Neither the devices nor the processes need be those that saved it. Raises the
  exceptions of Orbax and TensorStore.

  Args:
    path: absolute path of the tree's folder.
    parts: keys of its outermost dict to read, all unless given.
  """
  with quiet.reading(), ocp.PyTreeCheckpointer() as checkpointer:
    metadata = checkpointer.metadata(path)
    shapes = getattr(metadata, 'item_metadata', metadata)
    shapes = getattr(shapes, 'tree', shapes)
    if parts:
      shapes = {name: shapes[name] for name in parts}
    restore_args = jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes
    )
    return checkpointer.restore(
      path,
      args=ocp.args.PyTreeRestore(
        item=shapes if parts else None,
        restore_args=restore_args,
        partial_restore=bool(parts),
      ),
    )


def restore_tree(path: pathlib.Path, target: Any = None) -> Any:
  """Reads a pytree of arrays.

  Args:
    path: absolute path of a folder that `save_tree` wrote.
    target: the same tree with arrays or `jax.ShapeDtypeStruct` leaves, whose
      shardings the arrays take; None reads nested dicts of numpy arrays.

  Returns:
    The tree.

  Raises:
    CheckpointError: if the folder is missing, incomplete or has another shape.
  """
  if not path.is_dir():
    raise errors.CheckpointError(
      f'{path} does not exist: the checkpoint is half written or not one; give'
      ' a finished checkpoint.'
    )
  try:
    if target is None:
      return read_numpy(path)
    with ocp.StandardCheckpointer() as checkpointer:
      return checkpointer.restore(path, target)
  except (OSError, ValueError, KeyError) as error:
    first_line = (str(error).splitlines() or [''])[0]
    raise errors.CheckpointError(
      f'cannot read the arrays in {path}: {first_line}. The checkpoint is'
      ' incomplete or of another model.'
    ) from error
