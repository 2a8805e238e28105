"""Tiles cover a grid, share what they should and stay on whole cells."""

import itertools

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.inference.super_resolution import tiles

_CELLS = strategies.integers(1, 30)


@hypothesis.settings(deadline=None)
@hypothesis.given(
  _CELLS, _CELLS, strategies.integers(0, 20), strategies.integers(1, 3)
)
def test_starts_cover_and_overlap(size, tile, overlap, scale):
  size, tile = max(size, tile) * scale, min(size, tile) * scale
  hypothesis.assume((tile - overlap) // scale >= 1)
  found = tiles.starts(size, tile, overlap, scale)
  assert found[0] == 0 and found[-1] == size - tile
  for first, second in itertools.pairwise(found):
    assert first < second and first + tile - second >= overlap
    assert second % scale == 0
  # No fewer would do: each goes on by whole cells of the condition.
  stride = (tile - overlap) // scale * scale
  assert len(found) == 1 or size > tile + (len(found) - 2) * stride


def test_tiles_of_a_grid_and_of_its_condition():
  covered, kept = np.zeros((12, 20), int), np.zeros((12, 20), bool)
  for index, tile in enumerate(tiles.over((12, 20), (8, 8), 0.5, 2)):
    covered[tile.high] += 1
    assert covered[tile.high].shape == (8, 8)
    low = np.zeros((6, 10))[tile.low]
    assert low.shape == (4, 4)
    # Each is given something, and makes something.
    assert (index == 0 or kept[tile.high].any()) and not kept[tile.high].all()
    # Of four cells that neighbours share two are made again.
    if tile.column < 12:
      assert tile.kept[1].stop == tile.column + 6
    kept[tile.kept] = True
  assert covered.min() == 1 and covered.max() == 4
  assert kept.all()


def test_tiles_that_never_get_on_are_refused():
  with pytest.raises(errors.LayoutError, match='smaller overlap'):
    list(tiles.over((16, 16), (8, 8), 0.9, 2))
