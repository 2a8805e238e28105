"""Tiles cover a grid, share what they should and stay on whole cells."""

import itertools

from hypothesis import assume
from hypothesis import given
from hypothesis import strategies
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.inference import super_resolution_tiles as tiles

_CELLS = strategies.integers(1, 30)


@given(_CELLS, _CELLS, strategies.integers(0, 20), strategies.integers(1, 3))
def test_starts_cover_and_overlap(size, tile, overlap, scale):
  size, tile = max(size, tile) * scale, min(size, tile) * scale
  assume((tile - overlap) // scale >= 1)
  found = tiles.starts(size, tile, overlap, scale)
  assert found[0] == 0 and found[-1] == size - tile
  for first, second in itertools.pairwise(found):
    assert first < second and first + tile - second >= overlap
    assert second % scale == 0
  # No fewer would do.
  assert len(found) == 1 or size > tile + (len(found) - 2) * (tile - overlap)


def test_tiles_of_a_grid_and_of_its_condition():
  covered = np.zeros((12, 20), int)
  for tile in tiles.over((12, 20), (8, 8), 0.25, 2):
    covered[tile.high] += 1
    assert covered[tile.high].shape == (8, 8)
    low = np.zeros((6, 10))[tile.low]
    assert low.shape == (4, 4)
  assert covered.min() == 1 and covered.max() == 4


def test_tiles_that_never_get_on_are_refused():
  with pytest.raises(errors.LayoutError, match='smaller overlap'):
    list(tiles.over((16, 16), (8, 8), 0.9, 2))
