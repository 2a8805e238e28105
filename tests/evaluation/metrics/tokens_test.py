"""Perplexity of a modality's tokens."""

import math

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import tokens


def _value(metric, batch):
  return metric.compute(metric.add(metric.empty(), metric.measure(batch)))


def test_perplexity_weighs_every_token():
  metric = tokens.Perplexity('visual')
  batch = {
    'nll_visual': np.array([10 * math.log(2), 0.0, 30 * math.log(4)]),
    'tokens_visual': np.array([10, 0, 30]),
  }
  assert metric.name == 'perplexity_visual'
  expected = math.exp((10 * math.log(2) + 30 * math.log(4)) / 40)
  assert _value(metric, batch) == pytest.approx(expected, rel=1e-12)
  assert math.isnan(metric.compute(metric.empty()))
  with pytest.raises(errors.DataError, match='two vectors'):
    metric.measure({**batch, 'tokens_visual': np.ones((3, 1))})


def test_a_sample_is_measured_in_nats_a_token():
  batch = {'nll_audio': np.array([6.0, 5.0]), 'tokens_audio': np.array([3, 1])}
  measured = tokens.Perplexity('audio').measure(batch)
  np.testing.assert_array_equal(measured['value'], [2.0, 5.0])
  np.testing.assert_array_equal(measured['weight'], [3.0, 1.0])


def test_what_cannot_be_written_is_infinite():
  metric = tokens.Perplexity()

  def perplexity(nats):
    batch = {'nll_visual': np.array([nats]), 'tokens_visual': np.array([1])}
    return _value(metric, batch)

  assert perplexity(701.0) == math.inf
  assert perplexity(700.0) == math.exp(700)
  assert perplexity(0.0) == 1.0


@pytest.mark.parametrize(
  'counts', [np.array([1, 2]), np.array([-1]), np.array(1)]
)
def test_counts_that_cannot_be_are_refused(counts):
  batch = {'nll_visual': np.array([1.0]), 'tokens_visual': counts}
  with pytest.raises(errors.DataError, match='two vectors'):
    tokens.Perplexity().measure(batch)


def test_the_modality_is_a_part_of_name_needs_and_fingerprint():
  audio, visual = tokens.Perplexity('audio'), tokens.Perplexity('visual')
  assert audio.needs == ('nll_audio', 'tokens_audio')
  assert audio.name == 'perplexity_audio'
  assert audio.fingerprint != visual.fingerprint
  assert not audio.higher_is_better
