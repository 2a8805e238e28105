"""Tests of the places of tiles and of how they are joined."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.magvit2 import tiling


def test_spans_cover_a_side_with_context_on_both_sides():
  for size in (2, 5, 8):
    for overlap in range(size // 2 + 1):
      for cells in range(1, 40):
        found = tiling.spans(cells, size, overlap)
        # Every cell is kept of exactly one tile.
        kept = [c for span in found for c in range(span.first, span.last)]
        assert kept == list(range(cells))
        if cells <= size:
          assert len(found) == 1
          continue
        # The fewest: with one less, neighbours would share too little.
        assert (len(found) - 1) * (size - overlap) + overlap < cells
        assert (found[0].start, found[-1].stop) == (0, cells)
        for before, after in zip(found, found[1:]):
          shared = before.stop - after.start
          assert before.after == after.before == shared >= overlap
          assert min(before.stop - before.last, after.first - after.start) >= (
            shared // 2
          )
        assert {span.stop - span.start for span in found} == {size}


def test_weights_ramp_over_what_is_shared():
  span = tiling.Span(0, 4, 0, 3, 0, 2)
  np.testing.assert_allclose(
    span.weights(2), [1, 1, 1, 1, 0.875, 0.625, 0.375, 0.125]
  )


@pytest.mark.parametrize('size', [(5, 9), (16, 7), (23, 23)])
def test_tiles_of_a_frame_join_to_the_frame(size):
  stride = 4
  tiles = tiling.Tiling(32, 32, 12).tiles(*size, stride)
  assert len(tiles) > 1 or max(size) <= 8
  rng = np.random.default_rng(0)
  ids = rng.integers(0, 9, (2, 3, *size))
  video = ids[..., None].repeat(stride, 2).repeat(stride, 3).astype(np.float32)
  encoding = tiling.Mosaic(tiles, stride, decodes=False)
  decoding = tiling.Mosaic(tiles, stride, decodes=True)
  whole_ids = whole_video = None
  for tile in tiles:
    pixels, cells = encoding.part(tile, video), decoding.part(tile, ids)
    # What a tokenizer does that keeps the colour of each cell.
    encoded = pixels[:, :, ::stride, ::stride, 0].astype(np.int64)
    decoded = cells[..., None].repeat(stride, 2).repeat(stride, 3)
    decoded = decoded.astype(np.float32)
    if whole_ids is None:
      whole_ids = encoding.empty(3, encoded)
      whole_video = decoding.empty(3, decoded)
    # Outside what is kept, a tile may hold anything.
    kept = np.full_like(encoded, -1)
    rows, columns = tile
    inner = (
      slice(rows.first - rows.start, rows.last - rows.start),
      slice(columns.first - columns.start, columns.last - columns.start),
    )
    kept[:, :, *inner] = encoded[:, :, *inner]
    encoding.add(whole_ids, tile, kept)
    decoding.add(whole_video, tile, decoded)
  encoding.finish(whole_ids)
  decoding.finish(whole_video)
  np.testing.assert_array_equal(whole_ids, ids)
  np.testing.assert_allclose(whole_video, video, atol=1e-5)


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
