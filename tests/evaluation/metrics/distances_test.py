"""Metrics of two sets: FVD, FID, FAD and KVD on networks without weights."""

import numpy as np
import pytest

from tests.evaluation.metrics import networks
from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import distances
from videopoet_jax.evaluation.metrics import gaussian
from videopoet_jax.evaluation.metrics import kernel

_BLOCK = 16


def _sets(count=50):
  rng = np.random.default_rng(0)
  real = rng.integers(0, 256, (count, 2, 4, 4, 3), np.uint8)
  return {'generated': np.minimum(real, 200)[::-1], 'real': real}


def _value(metric, sets, batch_size, order=1):
  """As a job goes about it: batches, then blocks, in an order of its own."""
  count = len(next(iter(sets.values())))
  parts = [
    metric.measure({k: v[i : i + batch_size] for k, v in sets.items()})
    for i in range(0, count, batch_size)
  ]
  measured = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
  blocks = {
    i: metric.add(
      metric.empty(), {k: v[i : i + _BLOCK] for k, v in measured.items()}
    )
    for i in range(0, count, _BLOCK)[::order]
  }
  return metric.compute(metric.merge([blocks[i] for i in sorted(blocks)]))


@pytest.mark.parametrize(
  'metric',
  [
    distances.Frechet('fvd', networks.Projection()),
    distances.Frechet('fid', networks.Projection('frames')),
    distances.KernelDistance('kvd', networks.Projection(), 10, 20),
  ],
  ids=lambda metric: metric.name,
)
def test_equal_bits_for_any_batch_and_order_of_work(metric):
  sets = _sets()
  values = {
    _value(metric, sets, size, order)
    for size, order in [(1, 1), (7, 1), (50, 1), (16, -1), (3, -1)]
  }
  assert len(values) == 1
  assert values.pop() > 0


def test_values_are_those_of_the_features():
  sets = _sets()
  network = networks.Projection()
  one, other = (network(sets[side]) for side in ('generated', 'real'))
  frechet = gaussian.frechet_distance(gaussian.of(one), gaussian.of(other))
  metric = distances.Frechet('fvd', network)
  assert _value(metric, sets, 8) == pytest.approx(frechet, rel=1e-12)
  metric = distances.KernelDistance('kvd', network)
  assert _value(metric, sets, 8) == kernel.squared_discrepancy(one, other)


def test_every_frame_counts_for_a_network_of_frames():
  metric = distances.Frechet('fid', networks.Projection('frames'))
  measured = metric.measure(_sets(5))
  assert measured['real'].shape == (5, 2, 12)
  state = metric.add(metric.empty(), measured)
  assert state['real/count'] == 10


def test_sound_is_taken_as_floats():
  rng = np.random.default_rng(0)
  sound = rng.integers(-32768, 32767, (6, 100), np.int16)
  metric = distances.Frechet('fad', networks.Projection('audio'))
  assert metric.needs == ('generated_audio', 'real_audio')
  as_int = metric.measure({'real_audio': sound})['real']
  as_float = metric.measure({'real_audio': sound / 32768.0})['real']
  np.testing.assert_array_equal(as_int, as_float)


def test_sides_may_come_apart():
  # The real side is measured once for many checkpoints.
  sets = _sets(_BLOCK)
  metric = distances.Frechet('fvd', networks.Projection())
  both = metric.add(metric.empty(), metric.measure(sets))
  states = [
    metric.add(metric.empty(), metric.measure({side: sets[side]}))
    for side in sets
  ]
  assert metric.compute(metric.merge(states)) == metric.compute(both)


def test_a_stand_in_never_goes_by_the_name():
  stand_in = networks.Projection(stand_in=True)
  for kind, name in (
    (distances.Frechet, 'fvd'),
    (distances.KernelDistance, 'kvd'),
  ):
    with pytest.raises(errors.ConfigError, match='stands in for it'):
      kind(name, stand_in)
  assert distances.Frechet('frechet_projection', stand_in).name


def test_fingerprints_tell_settings_and_weights_apart():
  metrics = [
    distances.Frechet('fvd', networks.Projection()),
    distances.Frechet('fvd', networks.Projection(seed=1)),
    distances.Frechet('fvd', networks.Projection(), unbiased=False),
  ]
  assert len({metric.fingerprint for metric in metrics}) == 3


@pytest.mark.parametrize(
  ('batch', 'message'),
  [
    ({'text': np.array(['a'])}, "needs 'generated'"),
    ({'real': np.zeros((2, 4, 4, 3), np.uint8)}, r'\(2, 4, 4, 3\)'),
    ({'real': np.zeros((2, 1, 4, 4, 3), np.float32)}, 'float32'),
  ],
)
def test_impossible_inputs(batch, message):
  metric = distances.Frechet('fvd', networks.Projection())
  with pytest.raises(errors.DataError, match=message):
    metric.measure(batch)
