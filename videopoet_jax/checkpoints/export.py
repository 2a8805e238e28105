"""A checkpoint's parameters for inference, and folders of these alone."""

from collections.abc import Callable, Mapping, Sequence
import os
import pathlib
from typing import Any

from videopoet_jax.checkpoints import best as best_lib
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import folders
from videopoet_jax.checkpoints import manager
from videopoet_jax.checkpoints import t5x_steps
from videopoet_jax.checkpoints import tree as tree_lib
from videopoet_jax.core import errors
from videopoet_jax.core import low_rank
from videopoet_jax.core import storage

PARAMS = 'params'
EMA = 'ema'


def load_params(
  directory: str | os.PathLike[str],
  kind: str | None = None,
  expected: Mapping[str, Any] | None = None,
  step: int | None = None,
) -> tuple[dict[str, Any], Any]:
  """Reads the parameters to use a model with.

  Args:
    directory: a run's folder (`steps/<n>/`, or T5X's `checkpoint_<n>/`), whose
      newest readable step is used, or a folder that `export_params` wrote
      (`params/`).
    kind: required kind; None accepts any.
    expected: parts of a description that must be equal in the folder, for
      example `{'vocabulary': ..., 'layouts': ...}`.
    step: the step to read, such as `best_step`'s; the newest unless given.

  Returns:
    The description, and nested dicts of numpy arrays: the averaged parameters
    where the run kept them, the last ones otherwise. Low-rank adapters are
    merged into their base and left out of the description.

  Raises:
    CheckpointError: the folder is missing, empty, half written, of another
      kind, or differs from `expected`.
  """
  directory = storage.absolute(directory)
  description = describe.read_description(directory, kind)
  if expected:
    manager.check_description(directory, expected, tuple(expected))
  steps = saved_steps(directory)
  if not steps and (directory / PARAMS).is_dir():
    return description, read_arrays(directory / PARAMS)
  if not steps:
    state = 'half written' if manager.unfinished_steps(directory) else 'empty'
    raise errors.CheckpointError(
      f'the checkpoint folder {directory} is {state}: it has no finished step; '
      'train until the first save, or give another folder'
    )
  if step is not None and step not in steps:
    raise errors.CheckpointError(
      f'{directory} has no step {step}; it has {", ".join(map(str, steps))}'
    )
  problem = ''
  for number in reversed(steps) if step is None else (step,):
    try:
      return _merged(directory, description, _read_step(directory, number))
    except errors.CheckpointError as error:
      problem = problem or str(error)
  raise errors.CheckpointError(f'no step in {directory} can be read: {problem}')


def saved_steps(directory: pathlib.Path) -> list[int]:
  """Numbers of the finished steps of a run, oldest first.

  Args:
    directory: the folder of a run of this project's loop or of T5X.
  """
  own = manager.complete_steps(directory)
  return own or t5x_steps.complete_steps(directory)


def step_folder(directory: pathlib.Path, step: int) -> pathlib.Path:
  """The folder of a step that `saved_steps` lists."""
  own = directory / manager.STEPS_FOLDER / str(step)
  return own if own.is_dir() else t5x_steps.step_folder(directory, step)


def _read_step(directory: pathlib.Path, step: int) -> Any:
  """The parameters of a step, the averaged ones if there are any."""
  folder = step_folder(directory, step)
  if (folder / t5x_steps.STATE).is_dir():
    return read_t5x(directory, step, (t5x_steps.PARAMS,))[t5x_steps.PARAMS]
  return read_arrays(folder / (EMA if (folder / EMA).is_dir() else PARAMS))


def read_t5x(
  directory: pathlib.Path, step: int, parts: Sequence[str]
) -> dict[str, Any]:
  """Reads parts of a step of a T5X run, see `t5x_steps.read`.

  Raises:
    CheckpointError: it is missing or damaged.
  """
  folder = t5x_steps.step_folder(directory, step)
  return _reading(folder, lambda: t5x_steps.read(folder, parts))


def _merged(
  directory: pathlib.Path, description: dict[str, Any], params: Any
) -> tuple[dict[str, Any], Any]:
  """Merges adapters into their base, if the run trains adapters."""
  if low_rank.KEY not in description:
    return description, params
  described = description.pop(low_rank.KEY)
  config = describe.read_config(
    low_rank.LowRankConfig, described, 'adapted model'
  )
  base = read_arrays(directory / folders.BASE / PARAMS)
  return description, low_rank.merge_tree(base, params, config.scale)


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


def read_arrays(path: str | os.PathLike[str]) -> Any:
  """Reads a saved tree as numpy arrays, whatever mesh it was saved from.

  Raises:
    CheckpointError: the folder is missing or damaged.
  """
  path = storage.absolute(path)
  return _reading(path, lambda: tree_lib.read_numpy(path))


def _reading(path: pathlib.Path, read: Callable[[], Any]) -> Any:
  """Returns the result of `read`; raises CheckpointError if it fails."""
  try:
    return read()
  # Orbax and TensorStore raise many kinds of errors for damaged files.
  except Exception as error:
    reason = (str(error).splitlines() or [''])[0][:200]
    raise errors.CheckpointError(
      f'cannot read the arrays in {path} ({reason}): the checkpoint is '
      'incomplete or damaged; give another, or write it again'
    ) from error


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
  source, directory = storage.path(source), storage.path(directory)
  description, params = load_params(source, step=step)
  copy_beside(source, directory)
  tree_lib.save_tree(directory / PARAMS, params)
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
  try:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / describe.FILE_NAME).unlink(missing_ok=True)
    for inner in source.iterdir():
      # The base of adapters is in the merged parameters.
      is_base = inner.name == folders.BASE
      if (inner / describe.FILE_NAME).is_file() and not is_base:
        storage.copy_folder(inner, directory / inner.name)
  except OSError as error:
    raise errors.CheckpointError(
      f'cannot write {directory}: {storage.failure(error)}; make room, or give '
      'a folder that can be written'
    ) from error
