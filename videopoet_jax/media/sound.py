"""Reads the sound of media files, mixed down to one channel.

Sound begins with the picture: sound before the first frame is left out, and
silence is added where the sound begins later.
"""

import math
import pathlib

import av
import av.error
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.media import containers
from videopoet_jax.media import video

# Sound whose time stamp is off by more than this is moved to it; a smaller
# difference is rounding.
_MAX_DRIFT_SECONDS = 0.05
_ROUNDING = 5e-4  # of a frame, as in `video`.


def read(
  path: pathlib.Path, sampling_rate: int, samples: int | None = None
) -> np.ndarray | None:
  """Reads the sound track.

  Args:
    path: a media file, or a sound file.
    sampling_rate: samples a second of the result.
    samples: samples of the result at most; None reads all.

  Returns:
    int16 (samples,), sample 0 at the time of the first video frame, or the
    first sample of a file without video; None if the file has no sound track.

  Raises:
    UnusableFileError: the sound cannot be decoded.
  """
  with containers.opened(path, 'a sound file') as container:
    if not container.streams.audio:
      return None
    pictures = containers.pictures_of(container)
    stream = container.streams.audio[0]
    origin = None
    if pictures is not None and pictures.time_base is not None:
      origin = float((pictures.start_time or 0) * pictures.time_base)
    resampler = av.AudioResampler(
      format='s16', layout='mono', rate=sampling_rate
    )
    pieces: list[np.ndarray] = []
    early = 0  # Samples before the first video frame, to be left out.
    filled = 0  # Samples in `pieces`, less the early ones.
    for frame in containers.decoded(container, stream, path):
      if samples is not None and filled >= samples:
        break
      if frame.time is not None:
        origin = frame.time if origin is None else origin
        gap = round((frame.time - origin) * sampling_rate) - filled
        if not pieces and gap < 0:
          early = -gap
          filled = gap
        elif gap > _MAX_DRIFT_SECONDS * sampling_rate:
          pieces.append(np.zeros(gap, np.int16))
          filled += gap
      for piece in _resampled(resampler, frame, path):
        pieces.append(piece)
        filled += len(piece)
    pieces += _resampled(resampler, None, path)
  if not pieces:
    return None
  return np.concatenate(pieces)[early:][:samples]


def clip(
  found_T: np.ndarray | None, first: int, num_samples: int
) -> np.ndarray:
  """A part of a sound, with silence after its end.

  Args:
    found_T: int16 (samples,); None for no sound.
    first: first sample of the part.
    num_samples: number of samples of the part.

  Returns:
    int16 (num_samples,).
  """
  samples = np.zeros(num_samples, np.int16)
  if found_T is not None:
    piece = found_T[first : first + num_samples]
    samples[: len(piece)] = piece
  return samples


def read_start(
  path: pathlib.Path,
  sampling_rate: int,
  samples: int,
  frame_rate: float = 8.0,
) -> np.ndarray:
  """Reads the beginning of a sound, the same as the first clip of its file.

  Args:
    path: a media file, or a sound file.
    sampling_rate: samples a second.
    samples: number of samples of the result.
    frame_rate: frame rate of clips. Sound that ends before its picture is
      followed by silence, as in clips.

  Returns:
    int16 (samples,).

  Raises:
    DataError: it cannot be read, has no sound track or is too short.
  """
  found = read(path, sampling_rate, samples)
  if found is None:
    raise errors.DataError(
      f'{path} has no audio track; give a file with sound.'
    )
  if len(found) < samples:
    # The last frame of a clip is shown for its whole time.
    seconds = _picture_seconds(path)
    shown = math.ceil(seconds * frame_rate - _ROUNDING) / frame_rate
    if round(shown * sampling_rate) < samples:
      raise errors.DataError(
        f'{path} holds {len(found) / sampling_rate:.2f} s of sound; '
        f'{samples / sampling_rate:.2f} s are needed.'
      )
  return clip(found, 0, samples)


def _picture_seconds(path: pathlib.Path) -> float:
  with containers.opened(path) as container:
    if containers.pictures_of(container) is None:
      return 0.0
  return video.probe(path).duration


def _resampled(
  resampler: 'av.AudioResampler',
  frame: 'av.AudioFrame | None',
  path: pathlib.Path,
) -> list[np.ndarray]:
  try:
    frames_out = resampler.resample(frame)
  except (ValueError, av.error.FFmpegError) as error:
    raise containers.UnusableFileError(
      f'{path}: its sound changes its form on the way '
      f'({containers.text(error)})'
    ) from error
  return [out.to_ndarray().reshape(-1) for out in frames_out]
