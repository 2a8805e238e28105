"""A checkpoint folder that is open: its description, steps and parameters.

A path from a user is normalised once, by `storage.absolute`, and the folder is
opened once, by `open_folder`; what works with the checkpoint takes the result.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import folders
from videopoet_jax.checkpoints import manager
from videopoet_jax.checkpoints import t5x_steps
from videopoet_jax.checkpoints import tree as tree_lib
from videopoet_jax.core import errors
from videopoet_jax.core import low_rank

PARAMS = 'params'
EMA = 'ema'


@dataclasses.dataclass(frozen=True)
class Opened:
  """A checkpoint folder whose description has been read.

  Attributes:
    directory: the folder, an absolute path.
    description: contents of `checkpoint.json`.
    steps: numbers of the finished steps, oldest first; empty for a folder of
      parameters alone, which `export_params` writes.
  """

  directory: pathlib.Path
  description: Mapping[str, Any]
  steps: tuple[int, ...]

  def choose(self, step: int | None = None) -> int | None:
    """Returns the step to use; None for a folder of parameters alone.

    Args:
      step: the step that is wanted; the newest unless given.

    Raises:
      CheckpointError: that step is missing, or no step is finished.
    """
    if step is not None and step not in self.steps:
      there = ', '.join(map(str, self.steps)) or 'no numbered steps'
      raise errors.CheckpointError(
        f'{self.directory} has no step {step}; it has {there}.'
      )
    if self.steps:
      return self.steps[-1] if step is None else step
    if not (self.directory / PARAMS).is_dir():
      unfinished = manager.unfinished_steps(self.directory)
      state = 'half written' if unfinished else 'empty'
      raise errors.CheckpointError(
        f'the checkpoint folder {self.directory} is {state}: it has no finished'
        ' step; train until the first save, or give another folder.'
      )
    return None

  def step_folder(self, step: int | None) -> pathlib.Path:
    """The folder of the arrays of a step that `choose` returned."""
    if step is None:
      return self.directory / PARAMS
    return step_folder(self.directory, step)

  def read_params(self, step: int | None = None) -> tuple[dict[str, Any], Any]:
    """Reads the parameters to use the model with.

    Args:
      step: the step to read; the newest readable one unless given.

    Returns:
      The description, and nested dicts of numpy arrays: the averaged parameters
      where the run kept them, the last ones otherwise. Low-rank adapters are
      merged into their base and left out of the description.

    Raises:
      CheckpointError: the step is missing, or no step can be read.
    """
    chosen = self.choose(step)
    if chosen is None:
      return dict(self.description), read_arrays(self.directory / PARAMS)
    problem = ''
    for number in reversed(self.steps) if step is None else (chosen,):
      try:
        return self._merged(self._read_step(number))
      except errors.CheckpointError as error:
        problem = problem or str(error)
    raise errors.CheckpointError(
      f'no step in {self.directory} can be read: {problem}'
    )

  def _read_step(self, step: int) -> Any:
    """The parameters of a step, the averaged ones if there are any."""
    folder = self.step_folder(step)
    if (folder / t5x_steps.STATE).is_dir():
      return read_t5x(folder, (t5x_steps.PARAMS,))[t5x_steps.PARAMS]
    return read_arrays(folder / (EMA if (folder / EMA).is_dir() else PARAMS))

  def _merged(self, params: Any) -> tuple[dict[str, Any], Any]:
    """Merges adapters into their base, if the run trains adapters."""
    description = dict(self.description)
    if low_rank.KEY not in description:
      return description, params
    config = describe.read_config(
      low_rank.LowRankConfig, description.pop(low_rank.KEY), 'adapted model'
    )
    base = read_arrays(self.directory / folders.BASE / PARAMS)
    return description, low_rank.merge_tree(base, params, config.scale)


def open_folder(directory: pathlib.Path, kind: str | None = None) -> Opened:
  """Opens a checkpoint folder; no array is read yet.

  Args:
    directory: absolute path of a run's folder (`steps/<n>/`, or T5X's
      `checkpoint_<n>/`), or of one that `export_params` wrote (`params/`).
    kind: required kind; None accepts any.

  Raises:
    CheckpointError: the folder is missing, empty, half written or of another
      kind.
  """
  description = describe.read_description(directory, kind)
  return Opened(directory, description, tuple(saved_steps(directory)))


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


def read_t5x(folder: pathlib.Path, parts: Sequence[str]) -> dict[str, Any]:
  """Reads parts of a step of a T5X run, see `t5x_steps.read`.

  Raises:
    CheckpointError: it is missing or damaged.
  """
  return _reading(folder, lambda: t5x_steps.read(folder, parts))


def read_arrays(path: pathlib.Path) -> Any:
  """Reads a saved tree as numpy arrays, whatever mesh it was saved from.

  Args:
    path: absolute path of the tree's folder.

  Raises:
    CheckpointError: the folder is missing or damaged.
  """
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
