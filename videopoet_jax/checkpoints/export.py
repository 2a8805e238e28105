"""A checkpoint's parameters for inference, and folders of these alone."""

from collections.abc import Mapping
import os
import pathlib
from typing import Any

from videopoet_jax.checkpoints import best as best_lib
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import folders
from videopoet_jax.checkpoints import manager
from videopoet_jax.checkpoints import opened as opened_lib
from videopoet_jax.checkpoints import tree as tree_lib
from videopoet_jax.core import errors
from videopoet_jax.core import storage


def load_params(
  directory: str | os.PathLike[str],
  kind: str | None = None,
  expected: Mapping[str, Any] | None = None,
  step: int | None = None,
) -> tuple[dict[str, Any], Any]:
  """Reads the parameters to use a model with.

  Args:
    directory: a checkpoint folder, see `opened.open_folder`.
    kind: required kind; None accepts any.
    expected: parts of a description that must be equal in the folder, for
      example `{'vocabulary': ..., 'layouts': ...}`.
    step: the step to read, such as `best_step`'s; the newest unless given.

  Returns:
    The description and the parameters, see `opened.Opened.read_params`.

  Raises:
    CheckpointError: the folder is missing, empty, half written, of another
      kind, or differs from `expected`.
  """
  opened = opened_lib.open_folder(storage.absolute(directory), kind)
  if expected:
    manager.check_same(
      opened.directory, opened.description, expected, tuple(expected)
    )
  return opened.read_params(step)


def best_step(
  directory: pathlib.Path, metric: str, highest: bool = False
) -> int:
  """The step of a run whose validation was best.

  Args:
    directory: a run's folder.
    metric: name such as 'validation/loss'; see `LoopConfig.keep_best`.
    highest: whether more is better.

  Raises:
    CheckpointError: no step was saved with that metric.
  """
  folder = directory / manager.STEPS_FOLDER
  found = best_lib.Best(metric, highest)
  found.read({n: folder / str(n) for n in manager.complete_steps(directory)})
  if found.step is None:
    raise errors.CheckpointError(
      f'no step in {folder} was saved with the metric {metric!r}: set '
      'LoopConfig.keep_best to it and train'
    )
  return found.step


def export_params(
  source: str | os.PathLike[str],
  directory: str | os.PathLike[str],
  step: int | None = None,
) -> pathlib.Path:
  """Writes a run's parameters for inference into a folder of their own.

  Folders that stand beside a run's steps (its tokenizers) are copied too.

  Args:
    source: a run's folder.
    directory: the folder to write.
    step: the step to take; the newest unless given.

  Returns:
    `directory`.

  Raises:
    CheckpointError: the source cannot be read, or the copy not written.
  """
  opened = opened_lib.open_folder(storage.absolute(source))
  return export_opened(opened, storage.absolute(directory), step)


def export_opened(
  opened: opened_lib.Opened, directory: pathlib.Path, step: int | None = None
) -> pathlib.Path:
  """Does the same as `export_params` with an open checkpoint.

  Args:
    opened: the run.
    directory: absolute path of the folder to write.
    step: the step to take; the newest unless given.
  """
  description, params = opened.read_params(step)
  copy_beside(opened.directory, directory)
  tree_lib.save_tree(directory / opened_lib.PARAMS, params)
  description.pop('format_version')
  describe.write_description(directory, description)
  return directory


def copy_beside(source: pathlib.Path, directory: pathlib.Path) -> None:
  """Copies the folders beside a run's steps: its tokenizers.

  The folder has no description yet, so it counts as unfinished until one is
  written.

  Args:
    source: a run's folder.
    directory: the folder to write.

  Raises:
    CheckpointError: it cannot be written.
  """
  describe.begin(directory)
  with describe.writing(directory):
    for inner in source.iterdir():
      # The base of adapters is in the merged parameters.
      is_base = inner.name == folders.BASE
      if (inner / describe.FILE_NAME).is_file() and not is_base:
        storage.copy_folder(inner, directory / inner.name)
