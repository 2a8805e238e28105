"""Frames cover a size: scaled, the centre kept, transparency on white."""

import pathlib

import av
import numpy as np
import pytest

from videopoet_jax.media import containers
from videopoet_jax.media import fitting

_PATH = pathlib.Path('a.png')


def _bands(*levels, size=16, axis=1):
  """Bands of grey from left to right (axis 1) or top to bottom."""
  line = np.repeat(np.array(levels, np.uint8), size)
  shape = [1, 1]
  shape[axis] = len(line)
  other = [size, size]
  other[axis] = len(line)
  grey = np.broadcast_to(line.reshape(shape), other)
  return np.repeat(grey[..., None], 3, axis=-1)


def _fit(picture, height, width, **options):
  frame = fitting.of_pixels(picture)
  return fitting.fit(frame, height, width, _PATH, **options)


@pytest.mark.parametrize('axis', [0, 1])
def test_the_centre_is_kept(axis):
  found = _fit(_bands(10, 200, 90, axis=axis), 16, 16)
  assert found.shape == (16, 16, 3) and found.dtype == np.uint8
  assert np.abs(found.astype(int) - 200).max() <= 1


def test_a_picture_of_the_size_is_left_as_it_is():
  picture = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
  np.testing.assert_allclose(_fit(picture, 16, 32), picture, atol=2)


def test_smaller_and_larger():
  picture = _bands(40, 40)
  for height, width in ((4, 8), (64, 64), (3, 7)):
    found = _fit(picture, height, width)
    assert found.shape == (height, width, 3)
    assert np.abs(found.astype(int) - 40).max() <= 1


def test_what_is_made_smaller_is_averaged():
  # Stripes of one pixel become their mean, and no pattern.
  stripes = np.zeros((32, 32, 3), np.uint8)
  stripes[:, ::2] = 200
  found = _fit(stripes, 8, 8)
  assert np.abs(found.astype(int) - 100).max() <= 2


def test_pixels_that_are_not_square():
  # Twice as wide as high: what is shown is 64 x 16, the central 16 of it.
  found = _fit(_bands(10, 200), 16, 16, pixel_aspect=2.0)
  assert found[:, 0].mean() < 20 and found[:, -1].mean() > 190
  narrow = _fit(_bands(10, 200), 16, 8, pixel_aspect=0.25)
  assert narrow.shape == (16, 8, 3)


def test_long_and_narrow_pictures_are_refused(monkeypatch):
  monkeypatch.setattr(fitting, 'MOST_PIXELS', 4 * 16 * 16)
  assert _fit(_bands(1, 2, 3, 4), 16, 16).shape == (16, 16, 3)
  with pytest.raises(containers.UnusableFileError, match='80 x 16 pixels'):
    _fit(_bands(1, 2, 3, 4, 5), 16, 16)


def test_transparent_pixels_are_white():
  picture = np.zeros((1, 4, 4), np.uint8)
  picture[0, :, 0] = 100
  picture[0, :, 3] = [0, 255, 128, 1]
  found = fitting.compose(picture)
  wanted = [
    [255, 255, 255],
    [100, 0, 0],
    [round((100 * 128 + 255 * 127) / 255), 127, 127],
    [254, 254, 254],
  ]
  np.testing.assert_array_equal(found[0], wanted)


def test_a_frame_with_alpha_is_composed_first():
  pixels = np.zeros((16, 16, 4), np.uint8)
  frame = av.VideoFrame.from_ndarray(pixels, 'rgba')
  assert (fitting.fit(frame, 16, 16, _PATH) >= 254).all()
  pixels[..., 3] = 255
  frame = av.VideoFrame.from_ndarray(pixels, 'rgba')
  assert (fitting.fit(frame, 16, 16, _PATH) <= 1).all()
