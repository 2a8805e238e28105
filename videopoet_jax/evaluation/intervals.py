"""Values of metrics with their 95 % intervals, by bootstrap.

The interval of a metric of single samples comes from resampling the samples
with replacement. For other metrics (distances of sets) only states of blocks
are kept, so groups of consecutive blocks are resampled, and the standard
deviation over the draws gives the interval. If a protocol repeats a value, the
repeats are resampled. Draws are a function of the protocol's id, the task and
the metric, so an interval is the same in every run.
"""

from collections.abc import Iterable, Sequence
import dataclasses

import numpy as np

from videopoet_jax.core import permutation
from videopoet_jax.evaluation.metrics import interface

DRAWS = 1000
_SET_DRAWS = 40  # For distances, each of which costs a decomposition.
_Z_95 = 1.959963984540054  # Two-sided 95 % of the normal distribution.
_MOST_GROUPS = 32
_QUANTILES = (2.5, 97.5)


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A value and its 95 % interval.

  Attributes:
    value: value of the metric.
    low: lower end; nan if there are too few samples.
    high: upper end; nan if there are too few samples.
  """

  value: float
  low: float = float('nan')
  high: float = float('nan')


@dataclasses.dataclass
class Sums:
  """The statistics of one side of one repeat.

  Attributes:
    state: state of all blocks, merged in order.
    groups: states of consecutive blocks.
    samples: measures of every sample, for metrics of single samples.
  """

  state: interface.State
  groups: list[interface.State]
  samples: dict[str, np.ndarray]


def add_up(
  metric: interface.Metric,
  blocks: Iterable[interface.Arrays],
  num_blocks: int,
) -> Sums:
  """Sums measured blocks.

  Args:
    metric: metric of the measures.
    blocks: measures of each block, in order.
    num_blocks: number of blocks, which decides the size of a group.
  """
  total = metric.empty()
  per_group = max(1, -(-num_blocks // _MOST_GROUPS))
  groups: list[interface.State] = []
  kept: dict[str, list[np.ndarray]] = {}
  for number, block in enumerate(blocks):
    state = metric.add(metric.empty(), block)
    total = metric.merge([total, state]) if number else state
    if number % per_group:
      groups[-1] = metric.merge([groups[-1], state])
    else:
      groups.append(state)
    if interface.PER_SAMPLE in block:
      for name, values in block.items():
        kept.setdefault(name, []).append(values)
  return Sums(
    total, groups, {name: np.concatenate(v) for name, v in kept.items()}
  )


def estimate(
  metric: interface.Metric,
  repeats: Sequence[tuple[Sums, Sums | None]],
  key: Sequence[int | str],
) -> Estimate:
  """Returns the mean value over the repeats, with its interval.

  Args:
    metric: metric to compute.
    repeats: statistics of the samples, and of the real ones if these are a set
      of their own.
    key: key of the draws.
  """
  values = [_value(metric, one.state, _state(real)) for one, real in repeats]
  value = float(np.mean(values))
  generator = np.random.default_rng(permutation.fold(*key))
  if len(values) > 1:
    drawn = generator.choice(values, (DRAWS, len(values))).mean(1)
    return Estimate(value, *_interval(drawn))
  one, real = repeats[0]
  if one.samples:
    return _by_samples(metric, one, value, generator)
  return _by_groups(metric, one, real, value, generator)


def _state(sums: Sums | None) -> interface.State | None:
  return None if sums is None else sums.state


def _value(
  metric: interface.Metric,
  generated: interface.State,
  real: interface.State | None,
) -> float:
  states = [generated] if real is None else [generated, real]
  return float(metric.compute(metric.merge(states)))


def _interval(drawn: np.ndarray) -> tuple[float, float]:
  drawn = drawn[np.isfinite(drawn)]
  if not len(drawn):
    return float('nan'), float('nan')
  low, high = np.percentile(drawn, _QUANTILES)
  return float(low), float(high)


def _by_samples(
  metric: interface.Metric,
  sums: Sums,
  value: float,
  generator: np.random.Generator,
) -> Estimate:
  count = len(sums.samples[interface.PER_SAMPLE])
  if count < 2:
    return Estimate(value)
  drawn = []
  for _ in range(DRAWS):
    rows = generator.integers(0, count, count)
    sample = {name: array[rows] for name, array in sums.samples.items()}
    drawn.append(metric.compute(metric.add(metric.empty(), sample)))
  return Estimate(value, *_interval(np.array(drawn, float)))


def _by_groups(
  metric: interface.Metric,
  one: Sums,
  real: Sums | None,
  value: float,
  generator: np.random.Generator,
) -> Estimate:
  if len(one.groups) < 2:
    return Estimate(value)

  def draw(sums: Sums) -> interface.State:
    count = len(sums.groups)
    rows = np.sort(generator.integers(0, count, count))
    return metric.merge([sums.groups[row] for row in rows])

  drawn = np.array(
    [
      _value(metric, draw(one), None if real is None else draw(real))
      for _ in range(_SET_DRAWS)
    ]
  )
  # Duplicates in a resample inflate the distance of sets: only the spread of
  # the
  # draws is used, not their location.
  half = _Z_95 * float(np.std(drawn, ddof=1))
  return Estimate(value, value - half, value + half)
