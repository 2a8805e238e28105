"""Intervals against another implementation."""

import numpy as np
import pytest
import scipy.stats

from videopoet_jax.evaluation import statistics


@pytest.mark.parametrize(
  ('successes', 'samples'), [(0, 10), (3, 10), (255, 256), (256, 256), (1, 1)]
)
def test_wilson_equals_scipy(successes, samples):
  ours = statistics.wilson(successes, samples)
  theirs = scipy.stats.binomtest(successes, samples).proportion_ci(
    0.95, method='wilson'
  )
  np.testing.assert_allclose(ours, (theirs.low, theirs.high), atol=1e-12)


def test_wilson_refuses_what_is_no_share():
  with pytest.raises(ValueError, match='no share'):
    statistics.wilson(3, 2)
  with pytest.raises(ValueError, match='no share'):
    statistics.wilson(0, 0)


def test_total_variation():
  even = np.full(4, 0.25)
  assert statistics.total_variation(np.arange(8) % 4, even) == 0
  assert statistics.total_variation(np.zeros(8, int), even) == 0.75
  assert statistics.total_variation(np.zeros(0, int), even) == 1
