"""Tiles of large frames: their places, and how their results are blended.

All tiles have one size, so one program serves them, and neighbours overlap. The
latents before quantization and the decoded pixels are blended, with weights
that fall linearly across the overlap. The statistics of group norms span a
tile in place of the frame, so the result is close to that of the whole frame
and not equal to it. A hard change from one tile's ids to the next one's would
show: where statistics differ, so do the colours on both sides.
"""

from collections.abc import Sequence
import dataclasses
import itertools
import math
from typing import NamedTuple

import numpy as np

from videopoet_jax.core import errors


@dataclasses.dataclass(frozen=True)
class Tiling:
  """How frames too large for one pass are split.

  Attributes:
    above: frames are split if their height or width is above this, in pixels.
    tile_size: height and width of a tile in pixels, rounded down to whole
      cells; a shorter side of a frame is not split.
    tile_overlap: pixels that neighbours share at least, rounded up to whole
      cells; at most half a tile.
  """

  above: int = 1024
  tile_size: int = 512
  tile_overlap: int = 128

  def __post_init__(self) -> None:
    errors.check_range(self, 'above', 'tile_size', least=1)
    errors.check_range(self, 'tile_overlap')
    if self.tile_overlap * 2 > self.tile_size:
      raise errors.ConfigError(
        f'Tiling.tile_overlap is {self.tile_overlap}; it must be at most half '
        f'of tile_size, {self.tile_size}.'
      )
    if self.tile_size > self.above:
      raise errors.ConfigError(
        f'Tiling.above is {self.above}; it must be at least tile_size, '
        f'{self.tile_size}: a smaller frame is one tile.'
      )

  def splits(self, height: int, width: int) -> bool:
    """Whether frames of this size in pixels are split."""
    return max(height, width) > self.above

  def tiles(self, rows: int, columns: int, stride: int) -> tuple['Tile', ...]:
    """Tiles of a frame, row by row; one if it is not above the size.

    Args:
      rows: rows of the frame's grid of ids.
      columns: columns of the grid.
      stride: pixels of a cell.

    Raises:
      ConfigError: no whole cell is left between neighbours.
    """
    if not self.splits(rows * stride, columns * stride):
      return whole_frame(rows, columns)
    size = self.tile_size // stride
    overlap = math.ceil(self.tile_overlap / stride)
    if overlap >= size:
      raise errors.ConfigError(
        f'Tiling.tile_size {self.tile_size} and tile_overlap '
        f'{self.tile_overlap} leave no whole cell of {stride} pixels between '
        f'neighbours; give a tile_size of at least {2 * stride}.'
      )
    return tuple(
      Tile(row, column)
      for row in spans(rows, size, overlap)
      for column in spans(columns, size, overlap)
    )


@dataclasses.dataclass(frozen=True)
class Span:
  """A tile along one side of a frame, in cells.

  Attributes:
    start: first cell.
    stop: cell after the last.
    before: cells shared with the tile before.
    after: cells shared with the tile after.
  """

  start: int
  stop: int
  before: int
  after: int

  def weights(self, unit: int) -> np.ndarray:
    """Weights along the tile: 1, and linear ramps over what is shared.

    Args:
      unit: number of weights for each cell.
    """
    place = np.arange((self.stop - self.start) * unit, dtype=np.float32) + 0.5
    weights = np.ones_like(place)
    for shared, distance in ((self.before, place), (self.after, place[::-1])):
      if shared:
        weights = np.minimum(weights, distance / (shared * unit))
    return weights


def whole_frame(rows: int, columns: int) -> tuple['Tile', ...]:
  """The one tile of a frame that is not split."""
  return (Tile(*(Span(0, side, 0, 0) for side in (rows, columns))),)


def spans(cells: int, size: int, overlap: int) -> tuple[Span, ...]:
  """The fewest tiles that cover a side, evenly spread.

  Args:
    cells: cells of the side.
    size: cells of a tile; a shorter side is one tile.
    overlap: cells that neighbours share at least.
  """
  if cells <= size:
    return (Span(0, cells, 0, 0),)
  steps = math.ceil((cells - size) / (size - overlap))
  starts = [index * (cells - size) // steps for index in range(steps + 1)]
  shared = [a + size - b for a, b in itertools.pairwise(starts)]
  return tuple(
    Span(start, start + size, before, after)
    for start, before, after in zip(
      starts, [0, *shared], [*shared, 0], strict=True
    )
  )


class Tile(NamedTuple):
  """A tile of a frame: its places along the height and the width."""

  rows: Span
  columns: Span

  def of(self, frames: np.ndarray, unit: int) -> np.ndarray:
    """The tile's part of (batch, frames, height, width, ...).

    Args:
      frames: ids, codes or a video.
      unit: pixels of a cell in a video; 1 for ids and codes.
    """
    rows, columns = self.rows, self.columns
    return frames[
      :,
      :,
      rows.start * unit : rows.stop * unit,
      columns.start * unit : columns.stop * unit,
    ]


class Mosaic:
  """Frames whose tiles are encoded or decoded one by one.

  Attributes:
    tiles: the tiles, row by row.
  """

  def __init__(self, tiles: Sequence[Tile], given: int, made: int) -> None:
    """Takes the tiles of one size of frames.

    Args:
      tiles: result of `Tiling.tiles`.
      given: positions of a cell in what the tiles are made from: its pixels
        along a side to encode, 1 to decode.
      made: positions of a cell in the result.
    """
    self.tiles = tuple(tiles)
    self._given, self._made = given, made

  def part(self, tile: Tile, clips: np.ndarray) -> np.ndarray:
    """The pixels, ids or codes that a tile is made from."""
    return tile.of(clips, self._given)

  def empty(self, frames: int, result: np.ndarray) -> np.ndarray:
    """Zeros for this number of whole frames, otherwise like a tile's result."""
    last = self.tiles[-1]
    size = last.rows.stop * self._made, last.columns.stop * self._made
    return np.zeros(
      (result.shape[0], frames, *size, *result.shape[4:]), result.dtype
    )

  def add(self, whole: np.ndarray, tile: Tile, result: np.ndarray) -> None:
    """Adds the result of a tile, times its weights; a single one as it is."""
    if len(self.tiles) == 1:
      whole[...] = result
      return
    height, width = (span.weights(self._made) for span in tile)
    weights = (height[:, None] * width)[None, None, :, :, None]
    tile.of(whole, self._made)[...] += result * weights

  def finish(self, whole: np.ndarray) -> None:
    """Divides by the sum of the weights, in place."""
    if len(self.tiles) == 1:
      return
    totals = []
    for axis in range(2):
      total = np.zeros(whole.shape[2 + axis], np.float32)
      for span in {tile[axis] for tile in self.tiles}:
        inside = slice(span.start * self._made, span.stop * self._made)
        total[inside] += span.weights(self._made)
      totals.append(total)
    whole /= (totals[0][:, None] * totals[1])[None, None, :, :, None]
