"""Tiles of the trained size over a clip that is larger.

Where two tiles overlap, the half next to the first one's edge, where its
context was smallest, is generated again by the second. The other half is kept:
the second tile is conditioned on its ids.
"""

from collections.abc import Iterator
import dataclasses
import math

from videopoet_jax.core import errors


@dataclasses.dataclass(frozen=True)
class Tile:
  """A rectangle of the result's grid of ids.

  Attributes:
    row: first row.
    column: first column.
    height: rows.
    width: columns.
    scale: scale of the result relative to the condition; divides all of these.
    margin: rows at the bottom and columns on the right that a later tile
      generates again; 0 at the edges of the grid.
  """

  row: int
  column: int
  height: int
  width: int
  scale: int
  margin: tuple[int, int] = (0, 0)

  @property
  def high(self) -> tuple[slice, slice]:
    """Rows and columns of the result's ids."""
    return (
      slice(self.row, self.row + self.height),
      slice(self.column, self.column + self.width),
    )

  @property
  def kept(self) -> tuple[slice, slice]:
    """Rows and columns of ids that no later tile changes."""
    return (
      slice(self.row, self.row + self.height - self.margin[0]),
      slice(self.column, self.column + self.width - self.margin[1]),
    )

  @property
  def low(self) -> tuple[slice, slice]:
    """Rows and columns of the condition's ids."""
    rows, columns = self.high
    scale = self.scale
    return (
      slice(rows.start // scale, rows.stop // scale),
      slice(columns.start // scale, columns.stop // scale),
    )


def starts(size: int, tile: int, overlap: int, scale: int) -> tuple[int, ...]:
  """First cells of the fewest tiles that cover a side, evenly spread.

  Args:
    size: cells of the side.
    tile: cells of a tile, at most `size`.
    overlap: cells that neighbours share at least, less than `tile`.
    scale: divides sizes and starts, so that a tile's condition is whole cells.

  Raises:
    LayoutError: tiles cannot advance by at least `scale` cells.
  """
  stride = (tile - overlap) // scale * scale
  if size > tile and stride < scale:
    raise errors.LayoutError(
      f'tiles of {tile} cells that share {overlap} never get on; give a '
      'smaller overlap.'
    )
  if size == tile:
    return (0,)
  number = 1 + math.ceil((size - tile) / stride)
  return tuple(
    index * (size - tile) // (number - 1) // scale * scale
    for index in range(number)
  )


def over(
  size: tuple[int, int], tile: tuple[int, int], share: float, scale: int
) -> Iterator[Tile]:
  """Tiles of a grid, row by row.

  Args:
    size: rows and columns of the result's ids.
    tile: rows and columns of a tile; none larger than `size`.
    share: least share of a tile that overlaps its neighbour, below 1.
    scale: see `starts`.
  """
  height, width = tile
  # Rounded up to whole cells of the condition.
  shared = [math.ceil(share * side / scale) * scale for side in tile]
  for row in starts(size[0], height, shared[0], scale):
    below = shared[0] // 2 if row + height < size[0] else 0
    for column in starts(size[1], width, shared[1], scale):
      right = shared[1] // 2 if column + width < size[1] else 0
      yield Tile(row, column, height, width, scale, (below, right))
