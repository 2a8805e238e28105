"""The Inception Score, streamed."""

import math

import numpy as np
import pytest

from tests.evaluation.metrics import networks
from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import inception_score


def _batch(count):
  rng = np.random.default_rng(0)
  return {
    'generated': rng.integers(0, 256, (count, 2, 4, 4, 3), np.uint8),
    'index': np.arange(count),
  }


def _add(metric, probabilities, index=None):
  measured = {'probabilities': np.asarray(probabilities)}
  if index is not None:
    measured['index'] = index
  return metric.add(metric.empty(), measured)


@pytest.mark.parametrize('splits', [1, 3])
def test_equals_the_divergence_from_the_mean(splits):
  metric = inception_score.InceptionScore(networks.Classifier(), splits)
  measured = metric.measure(_batch(40))
  blocks = [
    metric.add(metric.empty(), {k: v[i : i + 16] for k, v in measured.items()})
    for i in range(0, 40, 16)
  ]
  expected = []
  for part in range(splits):
    p = measured['probabilities'][part::splits].astype(np.float64)
    divergences = np.sum(p * (np.log(p) - np.log(p.mean(0))[None]), axis=1)
    expected.append(np.exp(divergences.mean()))
  value = metric.compute(metric.merge(blocks))
  assert value == pytest.approx(np.mean(expected), rel=1e-12)
  assert value > 1.1


def test_ends_of_the_scale():
  metric = inception_score.InceptionScore(networks.Classifier(width=4))
  # Certain and of every class: as many as there are classes. Zeros are fine.
  assert metric.compute(_add(metric, np.eye(4))) == pytest.approx(4)
  assert metric.compute(_add(metric, np.full((9, 4), 0.25))) == pytest.approx(1)
  assert metric.compute(_add(metric, np.eye(4)[:1])) == pytest.approx(1)
  assert math.isnan(metric.compute(metric.empty()))


def test_a_network_without_softmax_is_refused():
  metric = inception_score.InceptionScore(networks.Projection())
  with pytest.raises(errors.DataError, match='softmax'):
    metric.measure(_batch(3))


def test_parts_need_the_samples_indices():
  metric = inception_score.InceptionScore(networks.Classifier(), splits=2)
  assert metric.needs == ('generated', 'index')
  with pytest.raises(errors.DataError, match="'index'"):
    metric.measure({'generated': _batch(3)['generated']})
