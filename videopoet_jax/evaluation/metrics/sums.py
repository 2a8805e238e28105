"""Streamed weighted means: the states of metrics of single samples.

A total is kept with its rounding error (Neumaier, 1974), so that the mean of a
million samples is as accurate as that of ten.
"""

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from videopoet_jax.evaluation.metrics import interface


def empty() -> interface.State:
  """The state without samples: scalars `weight`, `total` and `lost`."""
  return {name: np.zeros(()) for name in ('weight', 'total', 'lost')}


def add(
  state: interface.State, values: np.ndarray, weights: np.ndarray | None = None
) -> interface.State:
  """Returns the state with more values.

  Args:
    state: state of earlier values.
    values: values of any shape.
    weights: weights of the same shape, 1 by default. They must be whole numbers
      for their sum to be exact.
  """
  values = np.asarray(values, np.float64).ravel()
  if weights is None:
    weights = np.ones(len(values))
  weights = np.asarray(weights, np.float64).ravel()
  block = {
    'weight': np.array(weights.sum()),
    'total': np.array(math.fsum(values * weights)),
    'lost': np.zeros(()),
  }
  return merge([state, block])


def merge(states: Sequence[interface.State]) -> interface.State:
  """Merges states in the order given."""
  weight = total = lost = 0.0
  for state in states:
    weight += float(state['weight'])
    lost += float(state['lost'])
    value = float(state['total'])
    together = total + value
    if math.isfinite(together):
      larger, smaller = sorted((total, value), key=abs, reverse=True)
      lost += (larger - together) + smaller
    total = together
  return {
    'weight': np.array(weight),
    'total': np.array(total),
    'lost': np.array(lost),
  }


def mean(state: interface.State) -> float:
  """The weighted mean; nan without values."""
  weight = float(state['weight'])
  if not weight:
    return math.nan
  return (float(state['total']) + float(state['lost'])) / weight


@dataclasses.dataclass(frozen=True)
class SampleMean:
  """The mean of a value of each sample; subclasses measure it.

  Subclasses are frozen dataclasses of settings with a `name`,
  `higher_is_better` and `needs`, and their `measure` returns `value`, float64
  (B,).
  """

  @property
  def fingerprint(self) -> str:
    """A hash of the settings, and of weights where a field is a network."""
    settings = []
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if isinstance(value, interface.Fingerprinted):
        value = value.fingerprint
      settings.append((field.name, value))
    return interface.fingerprint_of(type(self).__name__, *settings)

  def empty(self) -> interface.State:
    return empty()

  def add(
    self, state: interface.State, measured: interface.Arrays
  ) -> interface.State:
    return add(state, measured[interface.PER_SAMPLE], measured.get('weight'))

  def merge(self, states: Sequence[interface.State]) -> interface.State:
    return merge(states)

  def compute(self, state: interface.State) -> float:
    return mean(state)
