"""Averages metrics and rates over the steps between two log lines."""

from collections.abc import Mapping
import time
from typing import Any

import numpy as np

from videopoet_jax.core import progress
from videopoet_jax.training import metrics as metrics_lib


class Throughput:
  """The steps since metrics were last logged, and their rate."""

  def __init__(self, first: int, total: int, parts: int = 1) -> None:
    """Starts the clock.

    Args:
      first: steps done before the start.
      total: steps of the run.
      parts: number of parts of a global batch; `add` takes one part.
    """
    self._total = total
    self._parts = parts
    self._steps: list[tuple[str, Mapping[str, Any]]] = []
    self._amount = 0
    self._kind = 'examples'
    self._start = time.monotonic()

  def add(
    self, unit: str, metrics: Mapping[str, Any], batch: Mapping[str, np.ndarray]
  ) -> None:
    self._steps.append((unit, metrics))
    counted = batch.get('tokens')
    self._kind = 'examples' if counted is None else 'tokens'
    first = next(iter(batch.values()))
    size = len(first) if counted is None else counted.size
    self._amount += size * self._parts

  def last(self, name: str) -> float:
    return float(self._steps[-1][1][name])

  def leave_out(self, seconds: float) -> None:
    """Excludes time that is not a step's, such as compiling, from the rate."""
    self._start += seconds

  def summary(self, done: int) -> tuple[str, dict[str, float]]:
    """Returns a line for the screen and the metrics; restarts the clock."""
    values = metrics_lib.averages(self._steps)
    values.pop('skipped_in_a_row')
    seconds = max(time.monotonic() - self._start, 1e-9)
    rate = len(self._steps) / seconds
    left = progress.duration((self._total - done) / rate)
    values['steps_per_second'] = rate
    values[f'{self._kind}_per_second'] = self._amount / seconds
    skipped = self.last('skipped_steps')
    values['skipped_steps'] = skipped
    line = (
      f'step {done}/{self._total}  loss {values["loss"]:.4f}  '
      f'{rate:.2f} steps/s  {self._amount / seconds:,.0f} {self._kind}/s  '
      f'{left} left'
    )
    if skipped:
      line += f'  {skipped:.0f} steps skipped'
    self._steps, self._amount = [], 0
    self._start = time.monotonic()
    return line, values
