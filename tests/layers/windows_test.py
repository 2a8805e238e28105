"""Windows tile a grid: split, merged, fitted and filled up."""

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.layers import windows

_GRID = (2, 8, 4)


@pytest.mark.parametrize('window', [(1, 8, 2), (2, 2, 4)])
def test_merge_undoes_split(window):
  cells = np.arange(2 * 2 * 8 * 4 * 3).reshape(2, *_GRID, 3)
  parts = windows.split(jnp.asarray(cells), window)
  number = np.prod(_GRID) // np.prod(window)
  assert parts.shape == (2 * number, np.prod(window), 3)
  # Examples do not mix.
  assert set(np.asarray(parts[:number]).flat) == set(cells[0].flat)
  np.testing.assert_array_equal(windows.merge(parts, _GRID, window), cells)


def test_refuses_what_does_not_divide_and_names_what_would():
  windows.check('windows[0]', (5, 0, 4), (1, 6, 8))
  with pytest.raises(
    errors.LayoutError,
    match=r'windows\[1\]=\(1, 8, 32\) .* 60 rows are no multiple of 8.'
    r' Use a clip of 56 or 64 rows, or windows of 2, 4, 6, 10, 12',
  ):
    windows.check('windows[1]', (1, 8, 32), (5, 60, 32), 2)
  # Latent frames are filled up.
  windows.check('windows[2]', (5, 8, 8), (9, 64, 32))


def test_latent_frames_are_shared_out_evenly():
  for frames in range(1, 40):
    for most in range(1, 9):
      size, *_ = windows.fitted((most, 2, 2), (frames, 4, 4))
      number = -(-frames // most)
      room = windows.padding((size, 2, 2), (frames, 4, 4))
      assert size <= most and (frames + room) // size == number
      assert room < number and room < size
      if frames % most == 0:
        assert (size, room) == (most, 0)
  assert windows.fitted((5, 8, 8), (11, 56, 32)) == (4, 8, 8)


def test_windows_come_in_raster_order_and_cells_within_too():
  cells = np.arange(2 * 4 * 4).reshape(1, 2, 4, 4, 1)
  parts = np.asarray(windows.split(jnp.asarray(cells), (1, 2, 4)))[..., 0]
  np.testing.assert_array_equal(parts, np.arange(32).reshape(4, 8))
  columns = np.asarray(windows.split(jnp.asarray(cells), (2, 4, 2)))[..., 0]
  assert columns[0, :4].tolist() == [0, 1, 4, 5]
  assert columns[1, 0] == 2 and columns[0, 8] == 16


def test_a_window_of_0_takes_all_rows_and_columns():
  assert windows.fitted((1, 0, 0), (3, 6, 7)) == (1, 6, 7)
  assert windows.fitted((5, 2, 3), (1, 6, 6)) == (1, 2, 3)
  assert windows.coarse((2, 8, 6), 2) == (2, 4, 3)


def test_what_fills_up_is_behind_and_not_real():
  real = windows.filled(2, (2, 1, 2), (3, 1, 2))
  wanted = [[True] * 4, [True, True, False, False]]
  np.testing.assert_array_equal(real, wanted * 2)
  cells = windows.fill_up(jnp.ones((1, 3, 1, 2, 1)), 1)
  assert cells.shape == (1, 4, 1, 2, 1)
  assert cells[0, :3].all() and not cells[0, 3].any()
