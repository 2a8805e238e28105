"""Ends a run when too many steps in a row were not finite."""

import collections
from collections.abc import Mapping
import pathlib
from typing import Any

import jax
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import storage


class Skipped:
  """Reads the counter of skipped steps, some steps late.

  The step whose counter is read depends on the step number alone, so all hosts
  stop at the same step.
  """

  def __init__(self, most: int, run_dir: pathlib.Path) -> None:
    """Starts without any step.

    Args:
      most: number of consecutive skipped steps at which the run ends.
      run_dir: folder that the batch of the last of them is written to.
    """
    self._most = most
    self._run_dir = run_dir
    self._steps: collections.deque = collections.deque()

  def add(
    self,
    step: int,
    unit: str,
    metrics: Mapping[str, jax.Array],
    batch: Mapping[str, np.ndarray],
  ) -> None:
    """Adds a step that is running.

    Args:
      step: number of the step.
      unit: compile unit of the step.
      metrics: scalars of the step, among them `skipped_in_a_row`, int32, the
        steps skipped in a row up to this one.
      batch: this host's part of the step's batch.
    """
    metrics['skipped_in_a_row'].copy_to_host_async()
    self._steps.append((step, unit, metrics, batch))

  def check(self, step: int) -> None:
    """Checks the steps up to a number, which may wait for them.

    Raises:
      FloatingPointError: too many in a row were not finite; the folder holds
        the batch of the step at which the limit was reached.
      CheckpointError: that batch cannot be written.
    """
    while self._steps and self._steps[0][0] <= step:
      number, unit, metrics, batch = self._steps.popleft()
      if int(metrics['skipped_in_a_row']) >= self._most:
        self._end(number, unit, metrics, batch)

  def _end(
    self,
    step: int,
    unit: str,
    metrics: Mapping[str, jax.Array],
    batch: Mapping[str, np.ndarray],
  ) -> None:
    in_a_row = int(metrics['skipped_in_a_row'])
    path = self._run_dir / f'not_finite_{step + 1}.npz'
    arrays: dict[str, Any] = {'unit': np.array(unit), 'step': step, **batch}
    if jax.process_index() == 0:
      try:
        with path.open('wb') as file:
          np.savez(file, **arrays)
      except OSError as error:
        raise errors.CheckpointError(
          f'{in_a_row} steps in a row were not finite, at step {step}, and its '
          f'batch cannot be written to {path}: {storage.failure(error)}'
        ) from error
    terms = sorted(
      name for name, value in metrics.items() if not np.isfinite(value)
    )
    # A finite loss can have a gradient that is not.
    named = f' ({", ".join(terms)})' if terms else ''
    raise FloatingPointError(
      f'{in_a_row} steps in a row were not finite{named}, at step {step} of '
      f'unit {unit!r}; its batch is in {path}, the last good state in the '
      'newest checkpoint. Lower the learning rate, or look at the data'
    )
