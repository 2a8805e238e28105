"""Bicubic resizing with one exact definition of low resolution.

Keys' cubic with a = -0.5 along each axis; where pixels get fewer, the kernel is
widened by the ratio of sizes, which keeps fine patterns from turning into
coarse ones. Pixel i of n covers [i, i + 1] of [0, n]; weights that would fall
outside of the frame are left out and the others scaled up to sum to 1. Both
axes are computed in float32 and rounded once, half up, to 0..255. That is
`jax.image.resize(..., 'cubic')`, PyTorch's `interpolate(mode='bicubic',
antialias=True)` and, but for its rounding between the axes, Pillow's BICUBIC.
"""

import functools

import numpy as np

from videopoet_jax.core import errors

CUBIC_A = -0.5


def cubic(distance: np.ndarray) -> np.ndarray:
  """Values of Keys' kernel (1981, eq. 15) at distances in pixels."""
  x = np.abs(distance)
  near = ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1
  far = CUBIC_A * (((x - 5) * x + 8) * x - 4)
  return np.where(x < 1, near, np.where(x < 2, far, 0.0))


@functools.lru_cache(maxsize=64)
def weights(size: int, result: int) -> np.ndarray:
  """Weight of each source pixel in each result pixel along one axis.

  Args:
    size: pixels of the source.
    result: pixels of the result.

  Returns:
    float32 (result, size); each row sums to 1.
  """
  ratio = size / result
  widening = max(ratio, 1.0)
  centres_R = (np.arange(result) + 0.5) * ratio
  distance_RS = centres_R[:, None] - (np.arange(size) + 0.5)
  found_RS = cubic(distance_RS / widening)
  found_RS /= found_RS.sum(axis=1, keepdims=True)
  return found_RS.astype(np.float32)


def resize(video: np.ndarray, height: int, width: int) -> np.ndarray:
  """Resizes frames, without rounding.

  Args:
    video: (..., H, W, C), any real dtype.
    height: height of the result in pixels.
    width: width of the result in pixels.

  Returns:
    float32 (..., height, width, C) on the same scale, which values next to
    edges may exceed a little.
  """
  *lead, rows, columns, channels = video.shape
  video = np.asarray(video, np.float32).reshape(-1, rows, columns * channels)
  video = np.matmul(weights(rows, height), video)
  video = video.reshape(-1, columns, channels)
  video = np.matmul(weights(columns, width), video)
  return video.reshape(*lead, height, width, channels)


def resize_pixels(video: np.ndarray, height: int, width: int) -> np.ndarray:
  """`resize` of uint8 frames to uint8 frames: rounded half up, clipped."""
  resized = resize(video, height, width)
  return np.clip(np.floor(resized + 0.5), 0, 255).astype(np.uint8)


def reduce_pixels(video: np.ndarray, scale: int) -> np.ndarray:
  """Divides height and width of uint8 frames by a whole number.

  Args:
    video: uint8 (..., H, W, C).
    scale: at least 1; 1 gives the frames as they are.

  Returns:
    uint8 (..., H / scale, W / scale, C).

  Raises:
    LayoutError: scale is below 1 or does not divide height and width.
  """
  *_, height, width, _ = video.shape
  check_scale(height, width, scale)
  if scale == 1:
    return video
  return resize_pixels(video, height // scale, width // scale)


def check_scale(height: int, width: int, scale: int, multiple: int = 1) -> None:
  """Refuses sizes that a scale does not divide into whole cells.

  Args:
    height: pixels.
    width: pixels.
    scale: what they are divided by.
    multiple: pixels of a cell, which the quotients must be multiples of.

  Raises:
    LayoutError: says which sizes would do.
  """
  if scale < 1:
    raise errors.LayoutError(f'a scale of {scale} makes no sense; give 1 or 2.')
  whole = scale * multiple
  for name, size in (('height', height), ('width', width)):
    if size < whole or size % whole:
      lower = max(whole, size // whole * whole)
      cells = f' cells of {multiple} pixels' if multiple > 1 else ''
      raise errors.LayoutError(
        f'{name} {size} divided by {scale} gives no whole{cells or " pixels"}; '
        f'use {lower} or {lower + whole}.'
      )
