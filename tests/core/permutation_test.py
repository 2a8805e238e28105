"""Keyed permutations and hashed counters."""

import zlib

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


_MASK = 2**64 - 1


def _mix(value: int) -> int:
  """The published SplitMix64, in Python's integers."""
  value = (value + 0x9E3779B97F4A7C15) & _MASK
  value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
  value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
  return value ^ (value >> 31)


def test_mix_is_splitmix64():
  # The first outputs of the generator for the seed 0, as published.
  states = [n * 0x9E3779B97F4A7C15 & _MASK for n in range(3)]
  wanted = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
  mixed = permutation.mix(np.array(states, np.uint64))
  assert [int(value) for value in mixed] == wanted
  assert [_mix(state) for state in states] == wanted


def test_fold_and_uniform_are_hashes_of_their_arguments():
  assert permutation.fold() == 0
  assert permutation.fold(3) == _mix(_mix(3))
  assert permutation.fold(3, -1) == _mix(_mix(_mix(3)) ^ _mix(_MASK))
  name = zlib.crc32(b'train')
  assert permutation.fold('train') == _mix(_mix(name))
  found = permutation.uniform(5, np.arange(4))
  wanted = [(_mix(n ^ 5) >> 11) / 2**53 for n in range(4)]
  np.testing.assert_array_equal(found, wanted)


def _permute(position: int, size: int, key: int) -> int:
  """The Feistel network of `permute` for one position, step by step."""
  half = 1
  while 4**half < size:
    half += 1
  mask = 2**half - 1
  place = position
  while True:
    left, right = place >> half, place & mask
    for number in range(6):
      round_key = _mix(key ^ _mix(number))
      left, right = right, left ^ (_mix(right ^ round_key) & mask)
    place = left << half | right
    if place < size:
      return place


@pytest.mark.parametrize('size', [1, 2, 3, 4, 5, 10, 16, 17, 64, 100])
def test_orders_never_change(size):
  # A run that resumes with a later version must see the same order.
  key = permutation.fold('train', 7)
  places = permutation.permute(np.arange(size), size, key)
  assert places.tolist() == [_permute(n, size, key) for n in range(size)]


@pytest.mark.parametrize(
  ('positions', 'size'), [([], 0), ([0], 0), ([0], -1), ([3], 3)]
)
def test_impossible_sizes_and_positions_are_refused(positions, size):
  with pytest.raises(errors.DataError, match=rf'range\({size}\)'):
    permutation.permute(np.array(positions, np.int64), size, 0)


def test_no_positions_have_no_places():
  places = permutation.permute(np.array([], np.int64), 1, 0)
  assert places.shape == (0,) and places.dtype == np.int64
