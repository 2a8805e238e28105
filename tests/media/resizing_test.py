"""Bicubic resizing, exactly stated."""

import jax
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.media import resizing


def _video(height, width):
  drawn = np.random.default_rng(0)
  return drawn.integers(0, 256, (2, 3, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize('size', [(32, 24), (16, 12), (128, 96), (40, 36)])
def test_equals_jax_image(size):
  video = _video(64, 48)
  shape = (2, 3, *size, 3)
  expected = jax.image.resize(video.astype(np.float32), shape, 'cubic')
  found = resizing.resize(video, *size)
  np.testing.assert_allclose(found, expected, atol=2e-3)


def test_halving_by_hand():
  # Pixel 4 of 8 is centred between pixels 8 and 9: the kernel at quarters of
  # odd numbers, twice as wide, over two pixels' worth.
  expected = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
  found = resizing.weights(16, 8)[4]
  np.testing.assert_allclose(found[5:13], expected, atol=1e-7)
  assert not found[:5].any() and not found[13:].any()


def test_pixels_are_rounded_once_and_clipped():
  # Steps from black to white: a cubic goes beyond both.
  video = (_video(8, 8) // 128 * 255).repeat(4, axis=2).repeat(4, axis=3)
  found = resizing.reduce_pixels(video, 2)
  assert found.dtype == np.uint8 and found.shape == (2, 3, 16, 16, 3)
  exact = resizing.resize(video, 16, 16)
  assert np.abs(found - np.clip(exact, 0, 255)).max() <= 0.5
  assert exact.max() > 260 and exact.min() < -5
  assert resizing.reduce_pixels(video, 1) is video


def test_a_constant_stays_and_a_fine_grid_becomes_grey():
  flat = np.full((1, 16, 16, 3), 77, np.uint8)
  assert (resizing.reduce_pixels(flat, 4) == 77).all()
  stripes = np.zeros((1, 16, 16, 3), np.uint8)
  stripes[:, :, ::2] = 200
  inner = resizing.reduce_pixels(stripes, 2)[:, :, 2:-2]
  np.testing.assert_allclose(inner, 100, atol=1)


def test_sizes_that_do_not_divide_are_refused_with_those_that_would():
  with pytest.raises(errors.LayoutError, match='width 30 .* use 28 or 32'):
    resizing.reduce_pixels(_video(32, 30), 4)
  with pytest.raises(errors.LayoutError, match='scale of 0'):
    resizing.check_scale(32, 32, 0)
