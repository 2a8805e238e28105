"""The picture of reconstructions."""

import numpy as np
import pytest

from videopoet_jax.evaluation.reporting import tokenizer_sheet


def test_error_is_absolute_and_clipped():
  found, truth = (
    np.array([[10, 0, 255]], np.uint8),
    np.array([[0, 10, 0]], np.uint8),
  )
  error = tokenizer_sheet.error(found, truth)
  assert error.dtype == np.uint8
  np.testing.assert_array_equal(error, [[40, 40, 255]])


@pytest.mark.parametrize(
  'size, shown', [((32, 48), (96, 144)), ((600, 300), (256, 128))]
)
def test_rows_are_original_reconstruction_and_error(size, shown):
  originals = np.zeros((2, 7, *size, 3), np.uint8)
  originals[..., 0] = 200
  found = originals.copy()
  found[1, :, :, :, 2] = 30
  page = np.asarray(tokenizer_sheet.draw(originals, found, 'a'))
  height, width = shown
  assert page.shape[1] == 106 + 5 * (width + 4)
  # The middle of the last frame of each row, of both clips.
  column = 106 + 4 * (width + 4) + width // 2
  rows = [24 + height // 2 + i * (height + 4) for i in range(3)]
  rows += [
    24 + 3 * (height + 4) + 4 + height // 2 + i * (height + 4) for i in range(3)
  ]
  assert [tuple(page[row, column]) for row in rows] == [
    (200, 0, 0), (200, 0, 0), (0, 0, 0),
    (200, 0, 0), (200, 0, 30), (0, 0, 120),
  ]  # fmt: skip


def test_a_single_frame_is_one_column():
  one = np.zeros((1, 1, 16, 16, 3), np.uint8)
  assert tokenizer_sheet.draw(one, one, 'a').size[0] == 106 + 96 + 4
