"""Keys of random draws: a different one for every draw that a seed leads to.

A key is derived by folding one number after the other into the seed's key.
Numbers are never added: `seed + second` is the same for (0, 1) and (1, 0).
"""

import enum

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors

# The purpose of a draw: numbers that lead from a seed to one of its parts. The
# empty path is that of a single call of a language model.
Path = tuple[int, ...]

# Samples are numbered below 2^31, so this is no sample's number.
_PARTS = 2**32 - 1
_WORD = 2**32


class Part(enum.IntEnum):
  """First number of a path: the purpose of the draws."""

  LONG_VIDEO = 0
  CHAIN = 1
  SUPER_RESOLUTION = 2


def root(seed: int, path: Path = ()) -> jax.Array:
  """The key that all draws of one part of a seed start from.

  Args:
    seed: seed, at least 0, of any size.
    path: path of the part. Keys of different paths differ, even if one path
      begins with the other.

  Returns:
    A key, scalar.

  Raises:
    ConfigError: the seed is negative.
  """
  if seed < 0:
    raise errors.ConfigError(f'seed is {seed}; it must be at least 0.')
  key = jax.random.key(seed % _WORD)
  # JAX takes 32 bits of a seed; without this, 2^32 would draw the same as 0.
  high = seed // _WORD
  while high:
    key = jax.random.fold_in(key, _PARTS - 1)
    key = jax.random.fold_in(key, high % _WORD)
    high //= _WORD
  if path:
    for number in (_PARTS, len(path), *path):
      key = jax.random.fold_in(key, number)
  return key


def sample_keys(seed: int, numbers_B: np.ndarray, path: Path = ()) -> jax.Array:
  """A key for each sample, the same in any batch.

  Args:
    seed: seed of all draws.
    numbers_B: int (B,), numbers of the samples, from 0.
    path: see `root`.

  Returns:
    Keys (B,).
  """
  key = root(seed, path)
  numbers = jnp.asarray(numbers_B, jnp.int32)
  return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
