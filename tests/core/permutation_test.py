"""Keyed permutations and hashed counters."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import permutation


@pytest.mark.parametrize('size', [1, 2, 3, 7, 64, 65, 1000, 4097])
def test_permute_visits_every_place_once(size):
  places = permutation.permute(np.arange(size), size, permutation.fold(3, 1))
  np.testing.assert_array_equal(np.sort(places), np.arange(size))


def test_one_position_is_the_same_alone_and_among_others():
  size, key = 10_000_000, permutation.fold('train', 5)
  positions = np.array([0, 17, 9_999_999, 4_000_000])
  together = permutation.permute(positions, size, key)
  alone = [permutation.permute(np.array([p]), size, key)[0] for p in positions]
  np.testing.assert_array_equal(together, alone)


def test_keys_give_unrelated_orders():
  size = 5000
  first = permutation.permute(np.arange(size), size, permutation.fold(0, 0))
  second = permutation.permute(np.arange(size), size, permutation.fold(0, 1))
  assert (first == second).mean() < 0.01
  # Neighbours are scattered: the steps of a random order average a third.
  steps = np.abs(np.diff(first)).mean() / size
  assert 0.31 < steps < 0.36
  assert abs(np.corrcoef(np.arange(size), first)[0, 1]) < 0.05


def test_uniform_is_flat_and_pure():
  values = permutation.uniform(permutation.fold(1), np.arange(20_000))
  assert 0 <= values.min() and values.max() < 1
  counts = np.histogram(values, bins=20, range=(0, 1))[0]
  assert np.abs(counts - 1000).max() < 150
  np.testing.assert_array_equal(
    values[100:110],
    permutation.uniform(permutation.fold(1), np.arange(100, 110)),
  )


def test_fold_depends_on_order_and_names():
  keys = {
    permutation.fold(1, 2),
    permutation.fold(2, 1),
    permutation.fold('a', 1),
    permutation.fold('b', 1),
    permutation.fold(0),
    permutation.fold(0, 0),
  }
  assert len(keys) == 6


def test_positions_outside_are_refused():
  with pytest.raises(errors.DataError, match='range'):
    permutation.permute(np.array([5]), 5, 0)
