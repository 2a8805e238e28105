"""Reads still pictures and the frames of animated ones, with Pillow.

A picture is turned according to its EXIF orientation, 16-bit pixels are reduced
to 8 bits, and transparent pixels are composed on `fitting.BACKGROUND`. Colour
profiles are ignored. Pictures are resized in the same way as frames of video.
"""

from collections.abc import Iterator
import contextlib
import pathlib
import threading
from typing import Any

import numpy as np
from PIL import Image

from videopoet_jax.media import containers
from videopoet_jax.media import fitting

# Suffixes of files that a search of folders treats as pictures.
EXTENSIONS = (
  '.avif', '.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp',
)  # fmt: skip
_FORMATS = ('PNG', 'JPEG', 'WEBP', 'GIF', 'BMP', 'TIFF', 'PPM', 'AVIF')
_ANIMATED = ('PNG', 'WEBP', 'GIF', 'AVIF')
_ORIENTATION = 0x0112  # in EXIF
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
# Browsers show a frame without a duration for this time.
_FRAME_SECONDS = 0.1
_LIMIT_LOCK = threading.Lock()


def is_picture(path: pathlib.Path) -> bool:
  """Whether a file is a picture rather than video or sound."""
  if path.suffix.lower() in containers.EXTENSIONS:
    return False
  try:
    with _identified(path):
      return True
  except Exception:  # Pillow's plugins may raise any exception.
    return False


def read(path: pathlib.Path, height: int, width: int) -> np.ndarray:
  """Reads a picture; of an animated one, the first frame.

  Args:
    path: path of the file.
    height: height of the result in pixels.
    width: width of the result in pixels.

  Returns:
    uint8 (height, width, 3), RGB: scaled to cover the size, its centre kept.

  Raises:
    UnusableFileError: it is not a picture, damaged or too large.
  """
  with _readable(path) as image:
    picture = _pixels(image, path)
  return fitting.fit(fitting.of_pixels(picture), height, width, path)


def shown(path: pathlib.Path) -> Iterator[tuple[float, np.ndarray]]:
  """Yields the frames of a file, one if it is not animated.

  Args:
    path: path of the file.

  Yields:
    The seconds that a frame is shown, 0 for a still picture; its pixels,
    uint8 (height, width, 3).

  Raises:
    UnusableFileError: see `read`.
  """
  with _readable(path) as image:
    animated = image.format in _ANIMATED and getattr(image, 'n_frames', 1) > 1
    if not animated:
      yield 0.0, _pixels(image, path)
      return
    for index in range(image.n_frames):
      image.seek(index)
      pixels = _pixels(image, path)
      milliseconds = float(image.info.get('duration') or 0)
      yield milliseconds / 1000 or _FRAME_SECONDS, pixels


def size(path: pathlib.Path) -> tuple[int, int]:
  """Height and width as stored; raises UnusableFileError like `read`."""
  with _readable(path) as image:
    return image.height, image.width


def _identified(path: pathlib.Path) -> Any:
  """Opens a file and reads only its header, whatever its size."""
  Image.init()
  formats = [name for name in _FORMATS if name in Image.OPEN]
  with _LIMIT_LOCK:
    # Pillow's limit has a message of its own, and warns from half of it;
    # `_check_size` has ours. Nothing is decoded here.
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
      return Image.open(path, formats=formats)
    finally:
      Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[Any]:
  """Opens a picture; every failure becomes a one-line error."""
  try:
    with _identified(path) as image:
      _check_size(image, path)
      yield image
  except containers.UnusableFileError:
    raise
  except Image.UnidentifiedImageError as error:
    raise containers.UnusableFileError(
      f'{path} is not a picture that can be read; give a PNG or JPEG.'
    ) from error
  except MemoryError as error:
    raise containers.UnusableFileError(
      f'{path}: the memory does not hold this picture; scale it down first.'
    ) from error
  # On damaged bytes Pillow's plugins raise errors of nearly every kind.
  except Exception as error:
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise containers.UnusableFileError(
      f'{path} is not a picture that can be read ({reason}); give a PNG or '
      'JPEG that is whole.'
    ) from error


def _check_size(image: Any, path: pathlib.Path) -> None:
  """Refuses pictures that are too large; a large JPEG is decoded smaller."""
  width, height = image.size
  large = width * height > fitting.MOST_PIXELS
  if large and image.format in ('JPEG', 'MPO'):
    for fraction in (2, 4, 8):
      if width * height <= fitting.MOST_PIXELS * fraction**2:
        image.draft(None, (width // fraction, height // fraction))
        break
  if image.width * image.height > fitting.MOST_PIXELS:
    raise containers.UnusableFileError(
      f'{path} is a picture of {width:,} x {height:,} pixels; at most '
      f'{fitting.MOST_PIXELS:,} pixels are read: scale it down first.'
    )


def _pixels(image: Any, path: pathlib.Path) -> np.ndarray:
  """The picture as it should be shown, uint8 (height, width, 3)."""
  picture = _rgb(image, path)
  turn = _TURNS.get(_orientation(image))
  if turn is None:
    return picture
  return np.asarray(Image.fromarray(picture).transpose(turn))


def _orientation(image: Any) -> int:
  try:
    return int(image.getexif().get(_ORIENTATION, 1))
  except Exception:  # A camera's broken metadata does not spoil its picture.
    return 1


def _rgb(image: Any, path: pathlib.Path) -> np.ndarray:
  if image.mode.startswith('I;16') or (
    image.mode == 'I' and image.format in ('PNG', 'PPM')
  ):
    # The high byte, which Pillow also takes of 16-bit colours.
    deep = np.asarray(image).astype(np.int64)
    grey = (deep >> 8).clip(0, 255).astype(np.uint8)
    hidden = image.info.get('transparency')
    if isinstance(hidden, int):
      alpha = np.where(deep == hidden, np.uint8(0), np.uint8(255))
      return fitting.compose(np.stack([grey, grey, grey, alpha], -1))
    return np.stack([grey] * 3, -1)
  if image.mode in ('I', 'F'):
    raise containers.UnusableFileError(
      f'{path}: its pixels are numbers of 32 bits, whose white is not known; '
      'convert it to 8 or 16 bits.'
    )
  if image.has_transparency_data:
    return fitting.compose(np.asarray(image.convert('RGBA')))
  return np.asarray(image.convert('RGB'))
