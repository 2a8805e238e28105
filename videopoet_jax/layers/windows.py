"""Windows of a grid of cells: boxes that tile it, each a short sequence.

Attention within windows is dense attention over a larger batch of shorter
sequences, so its cost grows with the number of cells. A grid of a coarser
resolution has windows of the same places: the same number, each smaller.
"""

import math

import einops
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import upscaling

# Latent frames, rows and columns; of grids and, see `fitted`, of windows.
Window = tuple[int, int, int]

_AXES = ('rows', 'columns')
_SPLIT = 'b (t i) (h j) (w k) d'
_WINDOWS = '(b t h w) (i j k) d'


def fitted(window: Window, grid: Window) -> Window:
  """Returns a window's size in a grid.

  Args:
    window: most latent frames, which a grid (an image) may fall short of; rows
      and columns, 0 for all.
    grid: cells. If its latent frames are not a multiple of the window's, they
      are shared evenly by the fewest windows that hold them, so that no window
      holds a single frame: 11 by windows of at most 5 are windows of 4, 4 and
      3.
  """
  number = -(-grid[0] // window[0])
  return (
    -(-grid[0] // number),
    window[1] or grid[1],
    window[2] or grid[2],
  )


def padding(window: Window, grid: Window) -> int:
  """Latent frames behind a grid that fill its last window; see `fitted`."""
  return -grid[0] % window[0]


def fill_up(cells_BTHWD: jax.Array, frames: int) -> jax.Array:
  """Appends latent frames of zeros, which are hidden."""
  return jnp.pad(cells_BTHWD, ((0, 0), (0, frames), (0, 0), (0, 0), (0, 0)))


def filled(batch: int, window: Window, grid: Window) -> np.ndarray:
  """Which cells of each window are not padding.

  Args:
    batch: examples.
    window: size from `fitted`.
    grid: cells, without padding.

  Returns:
    bool (batch x windows, cells of a window), in the order of `split`.
  """
  frames = grid[0] + padding(window, grid)
  is_real_T = np.arange(frames) < grid[0]
  real_THW = np.broadcast_to(is_real_T[:, None, None], (frames, *grid[1:]))
  windows_NL = einops.rearrange(
    real_THW,
    '(t i) (h j) (w k) -> (t h w) (i j k)',
    i=window[0],
    j=window[1],
    k=window[2],
  )
  return np.tile(windows_NL, (batch, 1))


def coarse(window: Window, scale: int) -> Window:
  """The window of the same place in a grid with `scale` times fewer rows."""
  return window[0], window[1] // scale, window[2] // scale


def check(name: str, window: Window, grid: Window, scale: int = 1) -> None:
  """Checks that a window, fitted to a grid, tiles its rows and columns.

  Latent frames are filled up, see `padding`.

  Args:
    name: name of the window, for the message.
    window: cells.
    grid: cells.
    scale: what rows and columns of a window must be multiples of, to have a
      counterpart in the coarser grid.

  Raises:
    LayoutError: it does not; the message names sizes that would.
  """
  window = fitted(window, grid)
  for axis, part, size in zip(_AXES, window[1:], grid[1:]):
    if size % part:
      fitting = [str(n) for n in range(scale, size + 1, scale) if size % n == 0]
      raise errors.LayoutError(
        f'{name}={window} does not divide a latent grid of {grid}: {size} '
        f'{axis} are no multiple of {part}. Use a clip of '
        f'{upscaling.nearest_multiples(size, part)} {axis}, or windows of '
        f'{", ".join(fitting)} {axis}.'
      )


def split(cells_BTHWD: jax.Array, window: Window) -> jax.Array:
  """Splits (B, T, H, W, D) to (B x windows, cells, D), example by example."""
  return einops.rearrange(
    cells_BTHWD,
    f'{_SPLIT} -> {_WINDOWS}',
    i=window[0],
    j=window[1],
    k=window[2],
  )


def merge(cells_NLD: jax.Array, grid: Window, window: Window) -> jax.Array:
  """Inverse of `split`.

  Args:
    cells_NLD: (B x windows, cells of a window, D).
    grid: (T, H, W).
    window: size given to `split`.
  """
  t, h, w = (size // part for size, part in zip(grid, window))
  return einops.rearrange(
    cells_NLD,
    f'{_WINDOWS} -> {_SPLIT}',
    t=t,
    h=h,
    w=w,
    i=window[0],
    j=window[1],
  )


def coordinates(window: Window, scale: int = 1) -> np.ndarray:
  """Places of the cells of a window, in cells of the finer grid.

  Args:
    window: window of the grid that the cells belong to.
    scale: rows and columns of the finer grid that one of these covers. A
      covering cell is placed at the middle of the cells that it covers.

  Returns:
    float64 (cells, 3): latent frame, row, column.
  """
  axes = [np.arange(size, dtype=np.float64) for size in window]
  axes[1:] = [(places + 0.5) * scale - 0.5 for places in axes[1:]]
  grids = np.meshgrid(*axes, indexing='ij')
  return np.stack([places.reshape(-1) for places in grids], axis=-1)


def size(window: Window) -> int:
  """Cells of a window."""
  return math.prod(window)
