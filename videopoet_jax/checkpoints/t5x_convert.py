"""Converts the whole state of a run between this project's loop and T5X.

Both hold the same parameters, and the optimizer's moments as the same flat dict
by path, so that a run resumes in the other trainer as in its own. T5X keeps no
averaged parameters and counts no skipped steps.
"""

from collections.abc import Callable
import os
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager
from videopoet_jax.checkpoints import opened as opened_lib
from videopoet_jax.checkpoints import t5x_steps
from videopoet_jax.checkpoints import tree as tree_lib
from videopoet_jax.core import errors
from videopoet_jax.core import low_rank
from videopoet_jax.core import storage

# In this project's optimizer item beside the moments.
_COUNTED = ('step', 'skipped', 'skipped_in_a_row')


def convert(
  source: str | os.PathLike[str],
  directory: str | os.PathLike[str],
  step: int | None = None,
  log: Callable[[str], None] = print,
) -> int:
  """Writes a step of a run as a run of the other trainer.

  Args:
    source: a run's folder, of either trainer.
    directory: the new run's folder; must not hold steps.
    step: the step to take; the newest unless given.
    log: receives a line about the parts that the other trainer does not hold.

  Returns:
    The step.

  Raises:
    CheckpointError: there is no such step, it cannot be read, the run trains
      adapters, or the folder holds steps or cannot be written.
  """
  directory = storage.absolute(directory)
  opened = opened_lib.open_folder(storage.absolute(source))
  source, description = opened.directory, dict(opened.description)
  if low_rank.KEY in description:
    raise errors.CheckpointError(
      f'{source} trains low-rank adapters, which T5X cannot; merge them with '
      'export first.'
    )
  step = opened.choose(step)
  if step is None:
    raise errors.CheckpointError(
      f'{source} holds parameters alone; give the folder of a run, which has '
      'steps.'
    )
  if opened_lib.saved_steps(directory):
    raise errors.CheckpointError(
      f'{directory} holds steps of a run already; give another folder.'
    )
  export.copy_beside(source, directory)
  description.pop('format_version')
  if manager.complete_steps(source):
    _to_t5x(source, directory, step, log)
    describe.write_description(directory, description)
  else:
    _from_t5x(source, directory, step, description)
  return step


def check_other(directory: pathlib.Path, *, is_t5x: bool) -> None:
  """Refuses a run's folder that holds steps of the other trainer.

  It would begin at step 0, and one of the two would be read from then on.

  Args:
    directory: the run's folder.
    is_t5x: whether T5X is to train.

  Raises:
    CheckpointError: it holds such steps.
  """
  theirs = manager.complete_steps if is_t5x else t5x_steps.complete_steps
  steps = theirs(directory)
  if steps:
    other = 'videopoet train' if is_t5x else 'T5X'
    raise errors.CheckpointError(
      f'{directory} holds step {steps[-1]} of a run of {other}; resume it '
      'there, or convert it into another folder: python -m videopoet_jax.t5x '
      f'convert {directory} OTHER'
    )


def _to_t5x(
  source: pathlib.Path,
  directory: pathlib.Path,
  step: int,
  log: Callable[[str], None],
) -> None:
  folder = opened_lib.step_folder(source, step)
  if (folder / opened_lib.EMA).is_dir():
    log(
      f'{source} keeps averaged parameters, which T5X does not: the run '
      'resumes from the parameters of its last step'
    )
  moments = opened_lib.read_arrays(folder / 'optimizer')
  state = {
    'target': opened_lib.read_arrays(folder / opened_lib.PARAMS),
    'state': {
      'step': np.int32(step),
      'param_states': {
        name: value for name, value in moments.items() if name not in _COUNTED
      },
    },
  }
  made = t5x_steps.step_folder(directory, step)
  with describe.writing(made):
    made.mkdir(parents=True, exist_ok=True)
  tree_lib.save_tree(made / t5x_steps.STATE, state)


def _from_t5x(
  source: pathlib.Path,
  directory: pathlib.Path,
  step: int,
  description: dict[str, Any],
) -> None:
  found = opened_lib.read_t5x(
    t5x_steps.step_folder(source, step), (t5x_steps.PARAMS, 'state')
  )
  zero = np.zeros((), np.int32)
  moments = dict(found['state']['param_states'])
  counted = {'step': np.asarray(step, np.int32)}
  counted |= {'skipped': zero, 'skipped_in_a_row': zero}
  saved = manager.Manager(directory, description, asynchronous=False)
  try:
    saved.save(
      step,
      {
        opened_lib.PARAMS: found[t5x_steps.PARAMS],
        'optimizer': moments | counted,
      },
      # Batches are a function of the step: there is no state of the data.
      # T5X does not record the seed; the resuming run's is used.
      {'step': step, 'seed': None, 'batches': {}, 'data': None},
    )
  finally:
    saved.close()
