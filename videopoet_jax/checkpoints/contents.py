"""Compares the contents of a saved step with what a run expects.

A step that is complete and holds something else is not damaged: it stays in
place, and one line names the setting that differs.
"""

from collections.abc import Mapping
import json
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from videopoet_jax.checkpoints import quiet
from videopoet_jax.core import errors
from videopoet_jax.core import storage

# In a step's counters: names of the items, and gin's settings of the run that
# decide what the items hold.
ITEMS = 'items'
SETTINGS = 'settings'

_COUNTERS_FILE = 'counters/metadata'
_ORBAX_FILE = '_CHECKPOINT_METADATA'


def path_name(path: tuple[Any, ...]) -> str:
  """`a/b/0` for a path within a pytree."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def saved_arrays(item: pathlib.Path) -> dict[str, tuple[tuple[int, ...], str]]:
  """Shape and dtype of every array of a saved item, by its path.

  Raises any exception of Orbax for a damaged item.
  """
  with quiet.reading():
    metadata = ocp.StandardCheckpointer().metadata(item)
  tree = getattr(metadata, 'item_metadata', metadata)
  tree = getattr(tree, 'tree', tree)
  return arrays(tree)


def arrays(tree: Any) -> dict[str, tuple[tuple[int, ...], str]]:
  """Shape and dtype of every leaf of a pytree, by its path."""
  return {
    path_name(path): (tuple(leaf.shape), str(np.dtype(leaf.dtype)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def items(folder: pathlib.Path) -> set[str] | None:
  """Names of the items that a step was saved with; None if not recorded."""
  counters = _json(folder / _COUNTERS_FILE)
  if isinstance(counters.get(ITEMS), list):
    return set(counters[ITEMS])
  handlers = _json(folder / _ORBAX_FILE).get('item_handlers')
  if isinstance(handlers, dict) and handlers:
    return set(handlers)
  return None


def _json(path: pathlib.Path) -> dict[str, Any]:
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return {}
  return found if isinstance(found, dict) else {}


def check(
  folder: pathlib.Path, target: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
  """Checks that a step holds the arrays that a run expects.

  A step whose own description cannot be read passes; reading it will report the
  damage.

  Args:
    folder: folder of the step.
    target: pytrees of `jax.ShapeDtypeStruct` by item name.
    settings: the run's settings, in the form of `SETTINGS`.

  Raises:
    CheckpointError: an array is missing, is unexpected, or has another shape or
      dtype; the message names the settings that differ.
  """
  wrong: list[str] = []
  for name, tree in target.items():
    try:
      saved = saved_arrays(folder / name)
    except Exception:  # Orbax raises many kinds for damaged files.
      return
    if not saved:
      return  # Nothing is known about a damaged one.
    wrong += [f'{name}/{text}' for text in _differences(saved, arrays(tree))]
  if not wrong:
    return
  more = f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''
  reason = changes(folder, settings) or (
    f'bind {", ".join(settings)} as they were'
    if settings
    else 'the model differs'
  )
  raise errors.CheckpointError(
    f'{folder} is whole, but of another model or optimizer: {reason} (saved '
    f'and wanted: {"; ".join(wrong[:3])}{more}). Give the settings it was '
    'trained with, or another --run_dir; the checkpoint was left as it is'
  )


def changes(folder: pathlib.Path, settings: Mapping[str, Any]) -> str:
  """Which settings a step was saved with differ from a run's; '' if none."""
  before = _json(folder / _COUNTERS_FILE).get(SETTINGS) or {}
  now = json.loads(json.dumps(dict(settings)))
  return '; '.join(
    f'{key} was {before[key]!r} and is {now[key]!r}'
    for key in now
    if key in before and before[key] != now[key]
  )


def _differences(
  saved: Mapping[str, Any], wanted: Mapping[str, Any]
) -> list[str]:
  return [
    f'{name}: {_text(saved.get(name))} and {_text(wanted.get(name))}'
    for name in sorted({*saved, *wanted})
    if saved.get(name) != wanted.get(name)
  ]


def _text(array: tuple[tuple[int, ...], str] | None) -> str:
  if array is None:
    return 'none'
  shape, dtype = array
  return f'{dtype} {shape}'


def is_finished(folder: pathlib.Path) -> bool:
  """Whether Orbax has written all of a step's folder."""
  # A bucket has no rename: there Orbax writes a step in its final place and
  # adds a file when it is complete.
  if not folder.is_dir():
    return False
  if not storage.is_remote(folder):
    return True
  return bool(ocp.utils.is_checkpoint_finalized(folder))
