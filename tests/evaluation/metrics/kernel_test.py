"""The unbiased discrepancy by a polynomial kernel."""

import math

import numpy as np
import pytest

from videopoet_jax.evaluation.metrics import kernel


def _plainly(one, other):
  """Gretton's estimate, pair by pair."""
  width = one.shape[1]

  def k(x, y):
    return (float(x @ y) / width + 1) ** 3

  n, m = len(one), len(other)
  inside_1 = sum(
    k(one[i], one[j]) for i in range(n) for j in range(n) if i != j
  )
  inside_2 = sum(
    k(other[i], other[j]) for i in range(m) for j in range(m) if i != j
  )
  across = sum(k(x, y) for x in one for y in other)
  return (
    inside_1 / (n * (n - 1)) + inside_2 / (m * (m - 1)) - 2 * across / n / m
  )


@pytest.mark.parametrize(
  ('n', 'm', 'width'), [(2, 2, 5), (17, 9, 8), (40, 60, 3)]
)
def test_equals_the_sum_over_pairs(n, m, width):
  rng = np.random.default_rng(n)
  one, other = rng.normal(size=(n, width)), rng.normal(1, 2, size=(m, width))
  assert kernel.squared_discrepancy(one, other) == pytest.approx(
    _plainly(one, other), rel=1e-10
  )


def test_unbiased_where_both_are_alike(monkeypatch):
  monkeypatch.setattr(kernel, '_TILE', 7)  # Several tiles.
  rng = np.random.default_rng(0)
  estimates = [
    kernel.squared_discrepancy(*rng.normal(size=(2, 30, 4))) for _ in range(300)
  ]
  error = np.std(estimates) / math.sqrt(300)
  assert abs(np.mean(estimates)) < 4 * error
  assert min(estimates) < 0  # A biased one would never be.


def test_subsets():
  rng = np.random.default_rng(1)
  one, other = rng.normal(size=(50, 6)), rng.normal(0.5, 1, size=(50, 6))
  whole = kernel.squared_discrepancy(one, other)
  # One subset that is everything, whatever its order.
  assert kernel.subset_discrepancy(one, other, 100, 1000) == whole
  several = kernel.subset_discrepancy(one, other, 200, 25)
  assert several == kernel.subset_discrepancy(one, other, 200, 25)
  assert several != kernel.subset_discrepancy(one, other, 200, 25, seed=1)
  assert several == pytest.approx(whole, rel=0.1)


def test_too_few_samples():
  none, one, five = (np.ones((count, 3)) for count in (0, 1, 5))
  assert math.isnan(kernel.squared_discrepancy(one, five))
  assert math.isnan(kernel.subset_discrepancy(none, five, 9, 9))
