"""Tests of the places of tiles and of how they are joined."""

import itertools

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.magvit2 import tiling


def test_spans_are_the_fewest_that_share_enough():
  for size in (2, 5, 8):
    for overlap in range(size // 2 + 1):
      for cells in range(1, 40):
        found = tiling.spans(cells, size, overlap)
        if cells <= size:
          assert found == (tiling.Span(0, cells, 0, 0),)
          continue
        # With one less, neighbours would share too little.
        assert (len(found) - 1) * (size - overlap) + overlap < cells
        assert (found[0].start, found[-1].stop) == (0, cells)
        assert (found[0].before, found[-1].after) == (0, 0)
        for before, after in itertools.pairwise(found):
          shared = before.stop - after.start
          assert before.after == after.before == shared >= overlap
        assert {span.stop - span.start for span in found} == {size}


def test_weights_ramp_over_what_is_shared():
  span = tiling.Span(0, 4, 0, 2)
  np.testing.assert_allclose(
    span.weights(2), [1, 1, 1, 1, 0.875, 0.625, 0.375, 0.125]
  )
  span = tiling.Span(3, 6, 1, 0)
  np.testing.assert_allclose(span.weights(2), [0.25, 0.75, 1, 1, 1, 1])


@pytest.mark.parametrize('size', [(5, 9), (16, 7), (23, 23)])
def test_tiles_of_a_frame_join_to_the_frame(size):
  stride = 4
  tiles = tiling.Tiling(32, 32, 12).tiles(*size, stride)
  assert len(tiles) > 1
  rng = np.random.default_rng(0)
  cells = rng.normal(size=(2, 3, *size, 1)).astype(np.float32)
  pixels = cells.repeat(stride, 2).repeat(stride, 3)
  for given, made in ((1, stride), (stride, 1)):
    mosaic = tiling.Mosaic(tiles, given, made)
    source, expected = (cells, pixels) if made > 1 else (pixels, cells)
    whole = None
    for tile in tiles:
      part = mosaic.part(tile, source)
      # A tokenizer that keeps the colour of each cell.
      if made > 1:
        result = part.repeat(stride, 2).repeat(stride, 3)
      else:
        result = part[:, :, ::stride, ::stride]
      if whole is None:
        whole = mosaic.empty(3, result)
      mosaic.add(whole, tile, result)
    mosaic.finish(whole)
    np.testing.assert_allclose(whole, expected, atol=1e-5)


def test_a_tile_counts_for_nothing_at_its_edge():
  tiles = tiling.Tiling(16, 16, 8).tiles(1, 8, 4)
  mosaic = tiling.Mosaic(tiles, given=1, made=4)
  whole = np.zeros((1, 1, 4, 32, 1), np.float32)
  for value, tile in enumerate(tiles):
    mosaic.add(whole, tile, np.full((1, 1, 4, 16, 1), value, np.float32))
  mosaic.finish(whole)
  steps = np.diff(whole[0, 0, 0, :, 0])
  # From 0 to 2 in three tiles: everywhere a small step, nowhere a jump.
  assert len(tiles) == 3 and whole[..., 0, 0].max() == 0
  assert whole[..., -1, 0].min() == 2 and 0 <= steps.min()
  assert steps.max() <= 0.125 + 1e-6


def test_frames_up_to_a_size_are_one_tile():
  chosen = tiling.Tiling(above=64, tile_size=32, tile_overlap=8)
  assert not chosen.splits(64, 64) and chosen.splits(8, 65)
  assert chosen.tiles(8, 8, 8) == tiling.whole_frame(8, 8)
  # 72 pixels in tiles of four cells that share one; one row of them.
  assert len(chosen.tiles(3, 9, 8)) == 3


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'tile_size': 0}, 'tile_size'),
    ({'tile_size': 64, 'tile_overlap': 33}, 'half'),
    ({'tile_size': 64, 'tile_overlap': -1}, 'tile_overlap'),
    ({'above': 100}, 'at least tile_size'),
  ],
)
def test_impossible_tiles_are_refused(settings, message):
  with pytest.raises(errors.ConfigError, match=message):
    tiling.Tiling(**settings)


def test_tiles_below_two_cells_are_refused():
  with pytest.raises(errors.ConfigError, match='at least 16'):
    tiling.Tiling(16, 8, 4).tiles(9, 9, 8)
