"""No two draws of a seed or of two seeds share a key."""

import itertools

import jax
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.inference import draws

SEEDS = (0, 1, 2, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**64)
NUMBERS = np.arange(4)
# Paths as the callers make them, and some that begin with one another.
PATHS = (
  (),
  *(
    (draws.Part.LONG_VIDEO, piece, kind)
    for piece in range(4)
    for kind in (0, 1)
  ),
  *((draws.Part.CHAIN, step) for step in range(4)),
  *(
    (draws.Part.SUPER_RESOLUTION, stage, piece)
    for stage in range(3)
    for piece in range(4)
  ),
  *(
    (draws.Part.SUPER_RESOLUTION, draws.Part.CHAIN, step, stage)
    for step in range(3)
    for stage in range(3)
  ),
  *((draws.Part.SUPER_RESOLUTION, stage) for stage in range(3)),
  (0,),
  (0, 0),
  (0, 0, 0, 0),
)  # fmt: skip


def test_every_draw_of_every_part_has_a_key_of_its_own():
  keys = []
  for seed, path in itertools.product(SEEDS, PATHS):
    keys_B = draws.sample_keys(seed, NUMBERS, path)
    # As the decoding loop does: position, then which factor.
    for position in range(3):
      at_B = jax.vmap(lambda k, p=position: jax.random.fold_in(k, p))(keys_B)
      for salt in range(2):
        drawn = jax.vmap(lambda k, s=salt: jax.random.fold_in(k, s))(at_B)
        keys += [bytes(row) for row in np.asarray(jax.random.key_data(drawn))]
  assert len(keys) == len(SEEDS) * len(PATHS) * 4 * 3 * 2
  assert len(set(keys)) == len(keys)


def test_a_sample_is_the_same_in_any_batch():
  whole = jax.random.key_data(draws.sample_keys(3, np.arange(6), (1, 2)))
  part = jax.random.key_data(draws.sample_keys(3, np.arange(4, 6), (1, 2)))
  np.testing.assert_array_equal(whole[4:], part)


def test_a_negative_seed_is_refused():
  with pytest.raises(errors.ConfigError, match='seed is -1'):
    draws.root(-1)
