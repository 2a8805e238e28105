"""Writes files of pictures, clips and sounds, with Pillow and PyAV."""

from collections.abc import Iterable, Iterator
import contextlib
from fractions import Fraction
import itertools
import math
import os
import pathlib
import tempfile
import wave

import av
import numpy as np
from PIL import Image

from videopoet_jax.core import errors
from videopoet_jax.core import storage

Path = str | os.PathLike[str]


@contextlib.contextmanager
def writing(path: Path) -> Iterator[pathlib.Path]:
  """Makes the parent; an OSError becomes a DataError that names the file.

  Encoders write local files only: one for a bucket is written beside and sent.
  """
  try:
    if storage.is_remote(path):
      with tempfile.TemporaryDirectory() as folder:
        local = pathlib.Path(folder) / os.path.basename(path)
        yield local
        storage.copy_file(local, path)
      return
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    yield pathlib.Path(path)
  except OSError as error:
    raise errors.DataError(
      f'cannot write {path}: {error.strerror or error}; give an --out that can '
      'be written.'
    ) from error


def check_folder(folder: Path) -> None:
  """Makes a folder and tries to write in it, before long work is begun.

  Raises:
    DataError: it cannot be written.
  """
  probe = storage.path(folder) / '.probe'
  with writing(probe) as path:
    path.touch()
  probe.unlink()


def _enlarged(video_THWC: np.ndarray, shortest: int) -> np.ndarray:
  """Repeats pixels so that small clips can be looked at; sizes become even."""
  scale = math.ceil(shortest / min(video_THWC.shape[1:3]))
  if scale % 2 and any(size % 2 for size in video_THWC.shape[1:3]):
    scale += 1
  return video_THWC.repeat(scale, axis=1).repeat(scale, axis=2)


def write_mp4(
  path: Path,
  video_THWC: np.ndarray | Iterable[np.ndarray],
  frame_rate: float,
  audio_T: np.ndarray | None = None,
  sampling_rate: int = 16_000,
  shortest: int = 128,
) -> None:
  """Writes H.264 video, with AAC sound if given.

  Args:
    path: file to write.
    video_THWC: uint8 frames; or an iterable of them, (height, width, 3), or
      of pieces of the video, (frames, height, width, 3), held one at a time.
    frame_rate: frames a second.
    audio_T: int16 samples.
    sampling_rate: samples a second of the sound.
    shortest: least pixels of the shorter side; small clips are enlarged to it.

  Raises:
    DataError: it cannot be written, or there is no frame.
  """
  pieces = _pieces(video_THWC, shortest)
  first = next(pieces, None)
  if first is None:
    raise errors.DataError(f'{path}: there is no frame to write.')
  with writing(path) as target, av.open(str(target), 'w') as container:
    rate = Fraction(frame_rate).limit_denominator(1001)
    stream = container.add_stream('libx264', rate=rate)
    stream.height, stream.width = first.shape[1:3]
    stream.pix_fmt = 'yuv420p'
    stream.options = {'crf': '14'}
    sound = None
    if audio_T is not None:
      sound = container.add_stream('aac', rate=sampling_rate, layout='mono')
    for picture in itertools.chain.from_iterable(
      itertools.chain([first], pieces)
    ):
      frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), 'rgb24')
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
    if sound is not None and audio_T is not None:
      block = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(audio_T[None], np.int16), 's16', 'mono'
      )
      block.sample_rate = sampling_rate
      block.pts = 0
      block.time_base = Fraction(1, sampling_rate)
      container.mux(sound.encode(block))
      container.mux(sound.encode())


def _pieces(
  video_THWC: np.ndarray | Iterable[np.ndarray], shortest: int
) -> Iterator[np.ndarray]:
  """Yields pieces of a video, (frames, height, width, 3), enlarged."""
  if isinstance(video_THWC, np.ndarray):
    video_THWC = [video_THWC] if len(video_THWC) else []
  for piece in video_THWC:
    yield _enlarged(piece if piece.ndim == 4 else piece[None], shortest)


def write_gif(
  path: Path, video_THWC: np.ndarray, frame_rate: float, shortest: int = 128
) -> None:
  """Writes an endless GIF; arguments as for `write_mp4`."""
  pictures = [Image.fromarray(f) for f in _enlarged(video_THWC, shortest)]
  with writing(path) as target:
    pictures[0].save(
      target,
      save_all=True,
      append_images=pictures[1:],
      duration=round(1000 / frame_rate),
      loop=0,
    )


def write_wav(path: Path, audio_T: np.ndarray, sampling_rate: int) -> None:
  """Writes 16-bit mono sound."""
  with writing(path) as target, wave.open(str(target), 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(sampling_rate)
    file.writeframes(np.asarray(audio_T, '<i2').tobytes())


def write_picture(
  path: Path, picture_HWC: np.ndarray, shortest: int = 128
) -> None:
  """Writes a PNG of one uint8 frame; `shortest` as for `write_mp4`."""
  with writing(path) as target:
    Image.fromarray(_enlarged(picture_HWC[None], shortest)[0]).save(
      target, 'PNG'
    )


def write_contact_sheet(
  path: Path,
  video_BTHWC: np.ndarray,
  shortest: int = 64,
  most: int = 16,
  widest: int = 2000,
) -> None:
  """Writes a PNG with one row a clip, its frames from left to right.

  Args:
    path: file to write.
    video_BTHWC: uint8 clips.
    shortest: see `write_mp4`.
    most: clips shown.
    widest: pixels of a row at most, if two frames fit; longer clips continue in
      the rows below.
  """
  rows = []
  for video_THWC in video_BTHWC[:most]:
    frames = _enlarged(video_THWC, shortest)
    border = ((0, 0), (1, 1), (1, 1), (0, 0))
    padded = np.pad(frames, border, constant_values=255)
    columns = max(2, widest // padded.shape[2])
    if len(padded) > columns:
      # As many in every row as fit, so that the last row is not nearly empty.
      columns = math.ceil(len(padded) / math.ceil(len(padded) / columns))
      rest = -len(padded) % columns
      filler = ((0, rest), *border[:1] * 3)
      padded = np.pad(padded, filler, constant_values=255)
    else:
      columns = len(padded)
    for first in range(0, len(padded), columns):
      shown = padded[first : first + columns]
      rows.append(np.concatenate(list(shown), axis=1))
  with writing(path) as target:
    Image.fromarray(np.concatenate(rows)).save(target, 'PNG')
