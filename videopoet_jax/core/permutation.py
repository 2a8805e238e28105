"""Random order without a list: keyed permutations and hashes of counters.

The order of training data is a function of (seed, position), so that it can
be entered anywhere in constant time and memory, whatever the number of
examples, of hosts or of restarts. Everything here is plain integer arithmetic
on numpy arrays, hence the same on every machine.
"""

import zlib

import numpy as np

from videopoet_jax.core import errors

_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mix(values: np.ndarray) -> np.ndarray:
  """Scrambles 64-bit integers one to one (the finalizer of SplitMix64).

  Args:
    values: uint64, any shape.

  Returns:
    uint64 of the same shape.
  """
  with np.errstate(over='ignore'):
    values = np.asarray(values, np.uint64) + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    return values ^ (values >> np.uint64(31))


def fold(*keys: int | str) -> int:
  """Makes one 64-bit key of several numbers and names, order included."""
  folded = np.zeros((), np.uint64)
  for key in keys:
    number = zlib.crc32(key.encode()) if isinstance(key, str) else int(key)
    folded = mix(folded ^ mix(np.array(number % 2**64, np.uint64)))
  return int(folded)


def uniform(key: int, counters: np.ndarray) -> np.ndarray:
  """Uniform numbers as a pure function of a key and a counter.

  Args:
    key: from `fold`.
    counters: non-negative integers, any shape.

  Returns:
    float64 in [0, 1), one for each counter.
  """
  hashed = mix(np.asarray(counters).astype(np.uint64) ^ np.uint64(key))
  return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permute(positions: np.ndarray, size: int, key: int) -> np.ndarray:
  """Places of `positions` under a keyed permutation of range(size).

  A Feistel network permutes the smallest square power of two that holds
  `size`; a result past the end is permuted again until it falls inside
  (cycle walking, at most four tries on average).

  Args:
    positions: integers from 0 to size - 1, any shape.
    size: number of places, at least 1.
    key: from `fold`; another key is another permutation.

  Returns:
    int64 of the same shape; over all positions every place occurs once.

  Raises:
    DataError: size is not positive, or a position lies outside.
  """
  places = np.array(positions, np.uint64)
  if size < 1 or (places.size and int(places.max()) >= size):
    raise errors.DataError(
      f'positions to permute must lie in range({size}), which must not be '
      'empty.'
    )
  half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
  low_bits = np.uint64((1 << int(half)) - 1)
  keys = mix(np.uint64(key) ^ mix(np.arange(_ROUNDS, dtype=np.uint64)))

  def network(values: np.ndarray) -> np.ndarray:
    left, right = values >> half, values & low_bits
    for round_key in keys:
      left, right = right, left ^ (mix(right ^ round_key) & low_bits)
    return (left << half) | right

  places = network(places)
  outside = places >= size
  while outside.any():
    places[outside] = network(places[outside])
    outside = places >= size
  return places.astype(np.int64)
