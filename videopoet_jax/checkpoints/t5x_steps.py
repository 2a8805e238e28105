"""The steps of a run that T5X trained: `checkpoint_<n>` folders.

    run_dir/checkpoint.json          as beside this project's own steps
    run_dir/checkpoint_<n>/state     Orbax: target (the parameters) and state
                                     (step, param_states: a flat dict)

T5X itself is not needed to read them.
"""

from collections.abc import Iterable
import pathlib
import re
from typing import Any

from videopoet_jax.checkpoints import contents
from videopoet_jax.checkpoints import tree as tree_lib

PREFIX = 'checkpoint_'
STATE = 'state'
PARAMS = 'target'

_NAME = re.compile(rf'{PREFIX}(\d+)')
_METADATA = '_METADATA'  # A folder without it was copied in part.


def complete_steps(directory: pathlib.Path) -> list[int]:
  """Numbers of the finished steps of a T5X run, oldest first."""
  if not directory.is_dir():
    return []
  found = (
    (path, match)
    for path in directory.iterdir()
    if (match := _NAME.fullmatch(path.name))
  )
  return sorted(
    int(match[1])
    for path, match in found
    if contents.is_finished(path) and (path / STATE / _METADATA).is_file()
  )


def step_folder(directory: pathlib.Path, step: int) -> pathlib.Path:
  """The folder of a step of a T5X run."""
  return directory / f'{PREFIX}{step}'


def read(folder: pathlib.Path, parts: Iterable[str]) -> dict[str, Any]:
  """Reads parts of a step as numpy arrays.

  Args:
    folder: the step's folder.
    parts: `target`, `state` or both.

  Raises the exceptions of Orbax and TensorStore for damaged files.
  """
  return tree_lib.read_numpy(folder / STATE, tuple(parts))
