"""Streamed means and covariances, and Frechet's distance."""

import math

import numpy as np
import pytest
from scipy import linalg

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import gaussian


def _features(count, width, seed, mean=0.0):
  rng = np.random.default_rng(seed)
  mixing = rng.normal(size=(width, width)) / np.sqrt(width)
  return mean + rng.normal(size=(count, width)) @ mixing + 0.1 * seed


def _blocks(features, size):
  return [
    gaussian.of(features[i : i + size]) for i in range(0, len(features), size)
  ]


def _formula(one, other):
  """The formula as it is written, by the root of the matrix product."""
  first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
  root = linalg.sqrtm(first @ second)
  means = np.sum((one.mean(0) - other.mean(0)) ** 2)
  return means + np.trace(first + second - 2 * np.real(root))


def _distance(one, other):
  return gaussian.frechet_distance(gaussian.of(one), gaussian.of(other))


@pytest.mark.parametrize(('count', 'width'), [(200, 16), (500, 64), (900, 256)])
def test_equals_the_formula_by_the_matrix_root(count, width):
  one, other = _features(count, width, 1), _features(count + 7, width, 2)
  assert _distance(one, other) == pytest.approx(_formula(one, other), rel=1e-9)


@pytest.mark.parametrize('size', [1, 7, 64, 1000])
def test_blocks_of_any_size_give_the_same_statistics(size):
  # A mean far from zero, where raw second moments would lose every digit.
  features = _features(1000, 24, 3, mean=1e6)
  merged = gaussian.merge(_blocks(features, size))
  assert merged['count'] == 1000
  np.testing.assert_allclose(merged['mean'], features.mean(0), rtol=1e-14)
  np.testing.assert_allclose(
    gaussian.covariance(merged), np.cov(features, rowvar=False), atol=1e-9
  )


def test_merged_first_blocks_stand_for_them_to_the_bit():
  blocks = _blocks(_features(300, 8, 4), 32)
  at_once = gaussian.merge(blocks)
  in_two = gaussian.merge([gaussian.merge(blocks[:5]), *blocks[5:]])
  for name in at_once:
    np.testing.assert_array_equal(at_once[name], in_two[name])


def test_another_order_of_blocks_changes_the_last_digits_only():
  blocks = _blocks(_features(640, 32, 5, mean=3.0), 64)
  other = gaussian.of(_features(640, 32, 6))
  forward = gaussian.frechet_distance(gaussian.merge(blocks), other)
  backward = gaussian.frechet_distance(gaussian.merge(blocks[::-1]), other)
  assert forward == pytest.approx(backward, rel=1e-12)


def test_states_given_are_left_as_they_are():
  blocks = _blocks(_features(64, 4, 7), 32)
  before = blocks[0]['scatter'].copy()
  gaussian.merge(blocks)
  np.testing.assert_array_equal(blocks[0]['scatter'], before)


def test_fewer_samples_than_dimensions():
  # Two samples each, on two lines: the covariances have rank one and the
  # distance can be said exactly.
  one = np.zeros((2, 50))
  other = np.zeros((2, 50))
  one[:, 0] = (-1, 1)  # Variance 2.
  other[:, 0] = (2, 8)  # Variance 18, mean 5.
  expected = 25 + (math.sqrt(2) - math.sqrt(18)) ** 2
  assert _distance(one, other) == pytest.approx(expected, rel=1e-12)
  other[:, [0, 1]] = other[:, [1, 0]]  # Across: no overlap at all.
  assert _distance(one, other) == pytest.approx(25 + 2 + 18, rel=1e-12)


def test_dead_and_repeated_features_add_nothing():
  # Units that never fire, or twice the same, make both covariances singular.
  one, other = _features(300, 20, 1), _features(300, 20, 2)
  expected = _distance(one, other)
  dead = [np.pad(features, ((0, 0), (0, 6))) for features in (one, other)]
  assert _distance(*dead) == pytest.approx(expected, rel=1e-9)
  twice = [np.repeat(features, 2, axis=1) for features in (one, other)]
  assert _distance(*twice) == pytest.approx(2 * expected, rel=1e-9)


def test_a_set_is_at_no_distance_from_itself():
  for count in (5, 400):
    features = _features(count, 64, 8)
    scale = np.trace(gaussian.covariance(gaussian.of(features)))
    assert 0 <= _distance(features, features) < 1e-10 * scale


def test_one_sample_and_constant_features():
  assert _distance(np.zeros((1, 3)), np.full((1, 3), 2.0)) == 12
  assert _distance(np.ones((9, 3)), np.full((4, 3), 2.0)) == 3


def test_no_samples_have_no_distance():
  assert math.isnan(
    gaussian.frechet_distance(gaussian.empty(4), gaussian.of(np.ones((3, 4))))
  )


def test_biased_covariances_as_in_stylegan():
  one, other = gaussian.of(_features(20, 3, 1)), gaussian.of(_features(9, 3, 2))
  biased = gaussian.frechet_distance(one, other, unbiased=False)
  means = np.sum((one['mean'] - other['mean']) ** 2)
  first, second = one['scatter'] / 20, other['scatter'] / 9
  root = np.real(linalg.sqrtm(first @ second))
  expected = means + np.trace(first + second - 2 * root)
  assert biased == pytest.approx(expected, rel=1e-9)


def test_features_that_are_not_finite_are_refused():
  features = np.ones((4, 2))
  features[2, 1] = np.nan
  with pytest.raises(errors.DataError, match='sample 2 '):
    gaussian.of(features)
