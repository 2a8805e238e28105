"""Reads video files: frames at a constant rate and size, and mono sound.

Everything is decoded by PyAV (FFmpeg's libraries). Times are counted from the
first video frame, so sound and frames agree whatever offset a container gives
its streams.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import math
import pathlib
from typing import Any

import av
import av.error
import numpy as np

from videopoet_jax.core import errors

EXTENSIONS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm')

# A stream may end this much before its declared end without being cut off:
# containers round, and encoders drop a last frame.
_MISSING_SECONDS = 0.5
_MISSING_SHARE = 0.02

# Sound that is off its time stamp by more than this is moved to it; less is
# rounding.
_MAX_DRIFT_SECONDS = 0.05


# Text in a file's metadata is of no use here and may be in any encoding; PyAV
# read it strictly unless told otherwise, until version 19.
_OPEN_OPTIONS: dict[str, Any] = (
  {'metadata_errors': 'ignore'}
  if int(av.__version__.split('.')[0]) < 19
  else {}
)


class UnusableFileError(errors.DataError):
  """One media file cannot be used; the others may."""


@dataclasses.dataclass(frozen=True)
class MediaInfo:
  """What a file holds.

  Attributes:
    duration: of the video, in seconds.
    frame_rate: its average, in frames a second.
    height: of the coded picture, in pixels.
    width: of the coded picture, in pixels.
    has_audio: whether there is a sound track.
  """

  duration: float
  frame_rate: float
  height: int
  width: int
  has_audio: bool


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator['av.container.InputContainer']:
  """Opens a file; FFmpeg's errors become `UnusableFileError`."""
  try:
    with av.open(str(path), **_OPEN_OPTIONS) as container:
      if not container.streams.video:
        raise UnusableFileError(f'{path}: has no video track')
      yield container
  except av.error.FFmpegError as error:
    raise UnusableFileError(f'{path}: {_reason(path, error)}') from error
  except OSError as error:
    raise UnusableFileError(f'{path}: cannot be read: {error}') from error


def _reason(path: pathlib.Path, error: Exception) -> str:
  if path.is_file() and not path.stat().st_size:
    return 'is empty (0 bytes)'
  try:
    with path.open('rb') as file:
      start = file.read(12)
  except OSError as unreadable:
    return f'cannot be read: {unreadable.strerror}'
  if start[4:8] in (b'ftyp', b'moov', b'mdat') or start[:4] == b'RIFF':
    return f'is cut off or damaged ({_text(error)})'
  return f'is not a video that FFmpeg can read ({_text(error)})'


def _text(error: Exception) -> str:
  return str(getattr(error, 'strerror', None) or error)


def probe(path: pathlib.Path) -> MediaInfo:
  """Reads a file once without decoding it.

  Args:
    path: a media file.

  Returns:
    What it holds.

  Raises:
    UnusableFileError: it is not a video, or cut off.
  """
  with _open(path) as container:
    video = container.streams.video[0]
    streams = [video, *container.streams.audio[:1]]
    begins: dict[int, float] = {}
    ends: dict[int, float] = {}
    for packet in container.demux(streams):
      if packet.pts is None or packet.time_base is None:
        continue
      begin = float(packet.pts * packet.time_base)
      end = begin + float((packet.duration or 0) * packet.time_base)
      index = packet.stream.index
      begins[index] = min(begins.get(index, begin), begin)
      ends[index] = max(ends.get(index, end), end)
    if video.index not in ends:
      raise UnusableFileError(f'{path}: its video track is empty')
    duration = ends[video.index] - begins[video.index]
    if video.duration is not None and video.time_base is not None:
      declared = float(video.duration * video.time_base)
      found = duration
    else:
      declared = (container.duration or 0) / av.time_base
      found = max(ends.values()) - min(begins.values())
    missing = declared - found
    if missing > max(_MISSING_SECONDS, _MISSING_SHARE * declared):
      raise UnusableFileError(
        f'{path}: is cut off: {found:.1f} s of {declared:.1f} s are there'
      )
    context = video.codec_context
    return MediaInfo(
      duration=duration,
      frame_rate=float(video.average_rate or 0),
      height=context.height,
      width=context.width,
      has_audio=len(container.streams.audio) > 0,
    )


def frames(
  path: pathlib.Path, frame_rate: float, height: int, width: int
) -> Iterator[np.ndarray]:
  """Yields frames at a constant rate, cropped to the centre and resized.

  Frame k is the picture that a player shows at k / frame_rate seconds: a
  faster source loses frames, a slower one repeats them.

  Args:
    path: a media file.
    frame_rate: in frames a second.
    height: of the result, in pixels.
    width: of the result, in pixels.

  Yields:
    uint8 (height, width, 3), RGB.

  Raises:
    UnusableFileError: the file cannot be read, or is damaged on the way.
  """
  with _open(path) as container:
    stream = container.streams.video[0]
    stream.thread_type = 'AUTO'
    source_interval = 1 / float(stream.average_rate or frame_rate)
    # Pixels of some formats are not square; 0 stands for unknown.
    pixel_aspect = float(stream.sample_aspect_ratio or 0) or 1.0
    shown: av.VideoFrame | None = None
    first = time = 0.0
    count = 0

    def due(until: float) -> int:
      # How many frames to yield before `until`; half a thousandth of a frame
      # absorbs the rounding of time stamps.
      return max(0, math.ceil((until - first) * frame_rate - 5e-4) - count)

    for index, frame in enumerate(_decoded(container, stream, path)):
      time = frame.time if frame.time is not None else index * source_interval
      if shown is None:
        first = time
      elif repeats := due(time):
        picture = _fitted(shown, pixel_aspect, height, width)
        for _ in range(repeats):
          yield picture
        count += repeats
      shown = frame
    if shown is None:
      raise UnusableFileError(f'{path}: no frame of it can be decoded')
    picture = _fitted(shown, pixel_aspect, height, width)
    for _ in range(due(time + source_interval)):
      yield picture


def _decoded(
  container: 'av.container.InputContainer',
  stream: 'av.VideoStream | av.AudioStream',
  path: pathlib.Path,
) -> Iterator['av.VideoFrame | av.AudioFrame']:
  time = 0.0
  for packet in container.demux(stream):
    try:
      decoded = packet.decode()
    except av.error.FFmpegError as error:
      raise UnusableFileError(
        f'{path}: is damaged at {time:.1f} s ({_text(error)})'
      ) from error
    for frame in decoded:
      time = frame.time if frame.time is not None else time
      yield frame


def _fitted(
  frame: 'av.VideoFrame', pixel_aspect: float, height: int, width: int
) -> np.ndarray:
  """Scales a frame so that it covers the target, and crops the centre."""
  # Phones store a picture lying on its side, to be turned when shown.
  quarter_turns = round(frame.rotation / 90) % 4
  if quarter_turns % 2:
    height, width = width, height
  shown_width = frame.width * pixel_aspect
  scale = max(height / frame.height, width / shown_width)
  scaled_height = max(height, round(frame.height * scale))
  scaled_width = max(width, round(shown_width * scale))
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


def audio(path: pathlib.Path, sampling_rate: int) -> np.ndarray | None:
  """Reads the sound track, mixed down to one channel.

  Args:
    path: a media file.
    sampling_rate: of the result, in samples a second.

  Returns:
    int16 (samples,), sample 0 at the time of the first video frame; None if
    the file has no sound track.

  Raises:
    UnusableFileError: the sound cannot be decoded.
  """
  with _open(path) as container:
    if not container.streams.audio:
      return None
    video, stream = container.streams.video[0], container.streams.audio[0]
    origin = float((video.start_time or 0) * video.time_base)
    resampler = av.AudioResampler(
      format='s16', layout='mono', rate=sampling_rate
    )
    pieces: list[np.ndarray] = []
    early = 0  # Samples before the first video frame, to be left out.
    filled = 0  # Samples in `pieces`, less the early ones.
    for frame in _decoded(container, stream, path):
      if frame.time is not None:
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
    return np.concatenate(pieces)[early:] if pieces else None


def _resampled(
  resampler: 'av.AudioResampler',
  frame: 'av.AudioFrame | None',
  path: pathlib.Path,
) -> list[np.ndarray]:
  try:
    frames_out = resampler.resample(frame)
  except (ValueError, av.error.FFmpegError) as error:
    raise UnusableFileError(
      f'{path}: its sound changes its form on the way ({_text(error)})'
    ) from error
  return [out.to_ndarray().reshape(-1) for out in frames_out]
