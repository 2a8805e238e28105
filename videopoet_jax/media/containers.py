"""Opens media files with PyAV (FFmpeg's libraries) and decodes their streams.

Errors of FFmpeg become one line that names the file and what is wrong.
"""

from collections.abc import Iterator
import contextlib
import pathlib
from typing import Any

import av
import av.error
import av.stream

from videopoet_jax.core import errors

EXTENSIONS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm')

# Text in a file's metadata is of no use here and may be in any encoding; PyAV
# read it strictly unless told otherwise, until version 19.
_OPEN_OPTIONS: dict[str, Any] = (
  {'metadata_errors': 'ignore'}
  if int(av.__version__.split('.')[0]) < 19
  else {}
)


class UnusableFileError(errors.DataError):
  """One media file cannot be used; the others may."""


@contextlib.contextmanager
def opened(
  path: pathlib.Path, what: str = 'a video'
) -> Iterator['av.container.InputContainer']:
  """Opens a file; FFmpeg's errors become `UnusableFileError`.

  Args:
    path: a media file.
    what: description of the expected file, for messages.
  """
  try:
    with av.open(str(path), **_OPEN_OPTIONS) as container:
      yield container
  except av.error.FFmpegError as error:
    raise UnusableFileError(f'{path}: {_reason(path, what, error)}') from error
  except OSError as error:
    raise UnusableFileError(f'{path}: cannot be read: {error}') from error


def pictures_of(
  container: 'av.container.InputContainer',
) -> 'av.VideoStream | None':
  """Returns the first video stream, None if there is none.

  The cover that a sound file may hold is no video.
  """
  for stream in container.streams.video:
    if not stream.disposition & av.stream.Disposition.attached_pic:
      return stream
  return None


def video_of(
  container: 'av.container.InputContainer', path: pathlib.Path
) -> 'av.VideoStream':
  """Returns the first video stream; UnusableFileError if there is none."""
  stream = pictures_of(container)
  if stream is None:
    raise UnusableFileError(f'{path}: has no video track')
  return stream


def decoded(
  container: 'av.container.InputContainer',
  stream: 'av.VideoStream | av.AudioStream',
  path: pathlib.Path,
) -> Iterator[Any]:
  """Yields the frames of a stream; UnusableFileError where it is damaged."""
  time = 0.0
  for packet in container.demux(stream):
    try:
      frames = packet.decode()
    except av.error.FFmpegError as error:
      raise UnusableFileError(
        f'{path}: is damaged at {time:.1f} s ({text(error)})'
      ) from error
    for frame in frames:
      time = frame.time if frame.time is not None else time
      yield frame


def text(error: Exception) -> str:
  """FFmpeg's message, on one line."""
  return str(getattr(error, 'strerror', None) or error)


def _reason(path: pathlib.Path, what: str, error: Exception) -> str:
  if path.is_file() and not path.stat().st_size:
    return 'is empty (0 bytes)'
  try:
    with path.open('rb') as file:
      start = file.read(12)
  except OSError as unreadable:
    return f'cannot be read: {unreadable.strerror}'
  if start[4:8] in (b'ftyp', b'moov', b'mdat') or start[:4] == b'RIFF':
    return f'is cut off or damaged ({text(error)})'
  return f'is not {what} that FFmpeg can read ({text(error)})'
