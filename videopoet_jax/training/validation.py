"""Validation loss of every unit and every task during training."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.parallel import start
from videopoet_jax.training import batches as batches_lib
from videopoet_jax.training import step as step_lib
from videopoet_jax.training import trainable as trainable_lib


class Validation:
  """Scores the same batches each time, so that metrics are comparable."""

  def __init__(
    self,
    trainable: trainable_lib.Trainable,
    data: batches_lib.ValidationBatches | None,
    place: Callable[[Mapping[str, np.ndarray]], Mapping[str, jax.Array]],
    *,
    seed: int,
    compiler_options: Mapping[str, Any] | None = None,
  ) -> None:
    """Stores the arguments: programs are compiled at their first use.

    Args:
      trainable: the model and its loss.
      data: batches to score; None validates nothing.
      place: function that puts a host batch on the devices.
      seed: seed of the random parts of a loss.
      compiler_options: options of XLA.
    """
    self._trainable = trainable
    self._data = data
    self._place = place
    self._seed = seed
    self._options = dict(compiler_options or {}) or None
    self._programs: dict[str, Any] = {}

  def __call__(self, params: Any, frozen: Any = None) -> dict[str, float]:
    """Scores parameters.

    Args:
      params: parameters to score.
      frozen: parameters that are not trained, None if all are.

    Returns:
      `validation/loss`, the mean of the units' means; `validation/<metric>`,
      the same for other metrics; `validation/loss/<task>` and
      `validation/loss/<unit>`, where the task is the first part of a unit's
      name.
    """
    if self._data is None:
      return {}
    by_unit: dict[str, list[Mapping[str, jax.Array]]] = {}
    for unit in self._data.units():
      given = [
        (params, self._place(batch), jnp.int32(index), frozen)
        for index, batch in enumerate(self._data.batches(unit))
      ]
      if unit not in self._programs:
        jitted = jax.jit(
          step_lib.make_validation_step(self._trainable, unit, seed=self._seed)
        )
        compiled = jitted.lower(*given[0]).compile(self._options)
        # Hosts read and compile at different speeds; see `start.barrier`.
        start.barrier(f'validation {unit}')
        self._programs[unit] = compiled
      by_unit[unit] = [self._programs[unit](*each) for each in given]
    return summarize(by_unit)


def summarize(
  by_unit: Mapping[str, list[Mapping[str, Any]]],
) -> dict[str, float]:
  """Means over units, and the losses of units and tasks; see `Validation`."""
  means = {
    unit: {
      name: float(np.mean([float(m[name]) for m in batches]))
      for name in batches[0]
    }
    for unit, batches in by_unit.items()
  }
  overall: dict[str, list[float]] = {}
  for unit, values in means.items():
    for name, value in values.items():
      overall.setdefault(name, []).append(value)
    if len(means) > 1:
      task = unit.split('/')[0]
      overall.setdefault(f'loss/{task}', []).append(values['loss'])
      if task != unit:
        overall.setdefault(f'loss/{unit}', []).append(values['loss'])
  return {
    f'validation/{name}': float(np.mean(values))
    for name, values in overall.items()
  }
