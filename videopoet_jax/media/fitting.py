"""Resizes pictures and frames of video to the size of a clip.

A picture is scaled until it covers the size and its centre is kept.
"""

import pathlib

import av
import numpy as np

from videopoet_jax.media import containers

# Transparent pixels are shown on this colour, as web browsers show them.
BACKGROUND = (255, 255, 255)

# Pixels of a picture in memory, at most: some hundred megabytes.
MOST_PIXELS = 100_000_000


def fit(
  frame: 'av.VideoFrame',
  height: int,
  width: int,
  path: pathlib.Path,
  pixel_aspect: float = 1.0,
) -> np.ndarray:
  """Scales a frame so that it covers the size, and crops the centre.

  Args:
    frame: a frame of any size and pixel format.
    height: height of the result in pixels.
    width: width of the result in pixels.
    path: path of its file, for messages.
    pixel_aspect: width of a pixel of the frame, divided by its height.

  Returns:
    uint8 (height, width, 3), RGB.

  Raises:
    UnusableFileError: the frame is so long and narrow that it would fill the
      memory.
  """
  # Phones store a picture lying on its side, to be turned when shown.
  quarter_turns = round(frame.rotation / 90) % 4
  if quarter_turns % 2:
    height, width = width, height
  if _has_alpha(frame):
    frame = of_pixels(compose(frame.to_ndarray(format='rgba')))
  shown_width = frame.width * pixel_aspect
  scale = max(height / frame.height, width / shown_width)
  scaled_height = max(height, round(frame.height * scale))
  scaled_width = max(width, round(shown_width * scale))
  if scaled_height * scaled_width > MOST_PIXELS:
    raise containers.UnusableFileError(
      f'{path}: is {frame.width} x {frame.height} pixels (width x height), '
      f'too long and narrow for a centre of {width} x {height}; crop it first'
    )
  picture = frame.reformat(
    width=scaled_width,
    height=scaled_height,
    format='rgb24',
    # Averaging over the area is what keeps small pictures free of aliasing.
    interpolation='AREA' if scale < 1 else 'BICUBIC',
  ).to_ndarray()
  top = (scaled_height - height) // 2
  left = (scaled_width - width) // 2
  picture = picture[top : top + height, left : left + width]
  return np.ascontiguousarray(np.rot90(picture, quarter_turns))


def of_pixels(picture_HW3: np.ndarray) -> 'av.VideoFrame':
  """A frame of uint8 RGB pixels, to be fitted as those of videos are."""
  return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture_HW3), 'rgb24')


def compose(picture_HW4: np.ndarray) -> np.ndarray:
  """Puts transparent pixels on the background.

  Args:
    picture_HW4: uint8 (height, width, 4), RGBA, not premultiplied.

  Returns:
    uint8 (height, width, 3).
  """
  alpha = picture_HW4[..., 3:].astype(np.uint16)
  result = np.empty((*picture_HW4.shape[:2], 3), np.uint8)
  for channel, behind in enumerate(BACKGROUND):
    front = picture_HW4[..., channel] * alpha[..., 0]
    result[..., channel] = (front + behind * (255 - alpha[..., 0]) + 127) // 255
  return result


def _has_alpha(frame: 'av.VideoFrame') -> bool:
  pixels = frame.format
  return pixels.name == 'pal8' or any(c.is_alpha for c in pixels.components)
