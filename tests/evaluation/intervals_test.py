"""Intervals hold the value, shrink with samples, and do not hang on chance."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.evaluation import intervals
from videopoet_jax.evaluation.metrics import distances
from videopoet_jax.evaluation.metrics import pixels


@dataclasses.dataclass(frozen=True)
class Flat:
  """A network whose features the test hands over."""

  name: str = 'flat'
  takes: str = 'video'
  width: int = 6
  stand_in: bool = False
  fingerprint: str = 'f'


def _blocks(values, size):
  return [
    {'value': values[start : start + size]}
    for start in range(0, len(values), size)
  ]


def _mean(values, size=8, key=('id', 'task')):
  blocks = _blocks(values, size)
  sums = intervals.add_up(pixels.PSNR(), blocks, len(blocks))
  return intervals.estimate(pixels.PSNR(), [(sums, None)], key)


def test_interval_of_a_mean_is_that_of_statistics():
  values = np.random.default_rng(0).normal(30, 4, 400)
  found = _mean(values)
  error = 1.96 * values.std() / np.sqrt(len(values))
  assert found.value == pytest.approx(values.mean(), rel=1e-12)
  assert found.low == pytest.approx(values.mean() - error, abs=0.1)
  assert found.high == pytest.approx(values.mean() + error, abs=0.1)
  assert found == _mean(values)  # Bit for bit: draws follow from the key.
  assert found.low != _mean(values, key=('other', 'task')).low


def test_one_sample_has_no_interval():
  found = _mean(np.array([30.0]))
  assert found.value == 30.0 and np.isnan(found.low) and np.isnan(found.high)


def _frechet(features, side, size=16):
  metric = distances.Frechet('fvd', Flat())
  blocks = [
    {side: features[start : start + size]}
    for start in range(0, len(features), size)
  ]
  return metric, intervals.add_up(metric, blocks, len(blocks))


def test_interval_of_a_distance_lies_about_its_value():
  generator = np.random.default_rng(1)
  generated = generator.normal(0.5, 1, (640, 6)).astype(np.float32)
  real = generator.normal(0, 1, (640, 6)).astype(np.float32)
  metric, one = _frechet(generated, 'generated')
  _, other = _frechet(real, 'real')
  assert len(one.groups) == 20  # 40 blocks of 16, two a group.
  found = intervals.estimate(metric, [(one, other)], ('id',))
  assert found.low < found.value < found.high
  # |m|^2 is 6 * 0.25; its error is about 2 |m| sqrt(2 / 640).
  assert found.value == pytest.approx(1.5, abs=0.3)
  assert 0.1 < found.high - found.low < 1.0


def test_repeats_are_averaged():
  generator = np.random.default_rng(2)
  pairs, values = [], []
  for _ in range(4):
    metric, one = _frechet(generator.normal(0.5, 1, (64, 6)), 'generated')
    _, other = _frechet(generator.normal(0, 1, (64, 6)), 'real')
    pairs.append((one, other))
    values.append(intervals.estimate(metric, [(one, other)], ('id',)).value)
  found = intervals.estimate(metric, pairs, ('id',))
  assert found.value == pytest.approx(np.mean(values), rel=1e-12)
  assert min(values) <= found.low < found.value < found.high <= max(values)
