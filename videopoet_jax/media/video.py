"""Reads video at a constant frame rate or its own, all frames of one size.

Times are counted from the first frame, so sound and frames agree whatever
offset a container gives its streams. Files of pictures are read as videos,
a still picture as a single frame.
"""

from collections.abc import Callable, Iterator
import dataclasses
import functools
import itertools
import math
import pathlib

import av
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.media import containers
from videopoet_jax.media import fitting
from videopoet_jax.media import pictures

# A stream may end this much before its declared end without being cut off:
# containers round, and encoders drop a last frame.
_MISSING_SECONDS = 0.5
_MISSING_SHARE = 0.02

_STILL_SECONDS = 0.04  # Duration reported for a still picture.
# Half a thousandth of a frame absorbs the rounding of time stamps.
_ROUNDING = 5e-4


@dataclasses.dataclass(frozen=True)
class MediaInfo:
  """Properties of a media file.

  Attributes:
    duration: duration of the video in seconds.
    frame_rate: its average, in frames a second.
    height: height of the coded picture in pixels.
    width: width of the coded picture in pixels.
    has_audio: whether there is a sound track.
  """

  duration: float
  frame_rate: float
  height: int
  width: int
  has_audio: bool


@dataclasses.dataclass(frozen=True)
class Frame:
  """A frame of the result.

  Attributes:
    start: start time, in seconds from the first frame.
    end: start time of the next frame.
    pixels_HW3: uint8 (height, width, 3), RGB.
  """

  start: float
  end: float
  pixels_HW3: np.ndarray


def probe(path: pathlib.Path) -> MediaInfo:
  """Reads a file once without decoding it.

  Args:
    path: a media file.

  Returns:
    The file's properties.

  Raises:
    UnusableFileError: it is not a video, or cut off.
  """
  if pictures.is_picture(path):
    return _probe_pictures(path)
  with containers.opened(path) as container:
    video = containers.video_of(container, path)
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
      raise containers.UnusableFileError(f'{path}: its video track is empty')
    duration = ends[video.index] - begins[video.index]
    if video.duration is not None and video.time_base is not None:
      declared = float(video.duration * video.time_base)
      found = duration
    else:
      declared = (container.duration or 0) / av.time_base
      found = max(ends.values()) - min(begins.values())
    missing = declared - found
    if missing > max(_MISSING_SECONDS, _MISSING_SHARE * declared):
      raise containers.UnusableFileError(
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


def _probe_pictures(path: pathlib.Path) -> MediaInfo:
  height, width = pictures.size(path)
  seconds = [seconds for seconds, _ in pictures.shown(path)]
  duration = sum(seconds) or _STILL_SECONDS
  return MediaInfo(duration, len(seconds) / duration, height, width, False)


def frames(
  path: pathlib.Path, frame_rate: float | None, height: int, width: int
) -> Iterator[np.ndarray]:
  """Yields frames, cropped to the centre and resized.

  Args:
    path: a media file, or a file of pictures.
    frame_rate: frames a second. Frame k is the picture that a player shows at
      k / frame_rate seconds: a faster source loses frames, a slower one repeats
      them. None yields the frames of the file, each once.
    height: height of the result in pixels.
    width: width of the result in pixels.

  Yields:
    uint8 (height, width, 3), RGB.

  Raises:
    UnusableFileError: the file cannot be read, or is damaged on the way.
  """
  for frame in timed_frames(path, frame_rate, height, width):
    yield frame.pixels_HW3


def timed_frames(
  path: pathlib.Path,
  frame_rate: float | None,
  height: int,
  width: int,
  first: int = 0,
) -> Iterator[Frame]:
  """Yields the same as `frames` with their times, from frame `first` on."""
  count = 0
  for start, end, repeats, draw in _timeline(path, frame_rate, height, width):
    count += repeats
    if count <= first:
      continue
    pixels = draw()
    length = (end - start) / repeats
    for index in range(max(0, repeats - (count - first)), repeats):
      yield Frame(start + index * length, start + (index + 1) * length, pixels)


def count_frames(path: pathlib.Path, frame_rate: float | None) -> int:
  """Number of frames that `frames` yields; decoded but not resized."""
  return sum(repeats for _, _, repeats, _ in _timeline(path, frame_rate, 1, 1))


def first_frames(
  path: pathlib.Path,
  count: int,
  frame_rate: float,
  height: int,
  width: int,
) -> np.ndarray:
  """Reads the first frames of a file, the same as its first clip.

  Args:
    path: a media file.
    count: number of frames.
    frame_rate: frames a second.
    height: height of the result in pixels.
    width: width of the result in pixels.

  Returns:
    uint8 (count, height, width, 3).

  Raises:
    DataError: it cannot be read or has fewer.
  """
  source = frames(path, frame_rate, height, width)
  found = list(itertools.islice(source, count))
  if len(found) < count:
    raise errors.DataError(
      f'{path} has {len(found)} frames at {frame_rate:g} frames a second; '
      f'{count} are needed.'
    )
  return np.stack(found)


def read_frames(
  path: str | pathlib.Path,
  *,
  height: int,
  width: int,
  frame_rate: float | None = 8.0,
) -> Iterator[np.ndarray]:
  """Reads the frames of a file one by one, as `read` does all of them.

  Args:
    path: a media file, or a file of pictures.
    height: height of the result in pixels.
    width: width of the result in pixels.
    frame_rate: frames a second; None takes the frames of the file.

  Returns:
    Iterator of frames, uint8 (height, width, 3), cropped to the centre and
    resized. It raises UnusableFileError if the file cannot be read, or is
    damaged on the way.
  """
  return frames(pathlib.Path(path), frame_rate, height, width)


def read(
  path: str | pathlib.Path,
  *,
  height: int,
  width: int,
  frame_rate: float | None = 8.0,
  most: int | None = None,
) -> np.ndarray:
  """Reads the frames of a file in the same way as data preparation.

  Args:
    path: a media file, or a file of pictures.
    height: height of the result in pixels.
    width: width of the result in pixels.
    frame_rate: frames a second; None takes the frames of the file.
    most: frames at most; None takes all.

  Returns:
    uint8 (frames, height, width, 3), cropped to the centre and resized.

  Raises:
    UnusableFileError: the file cannot be read, or is damaged on the way.
  """
  source = read_frames(path, height=height, width=width, frame_rate=frame_rate)
  return np.stack(list(itertools.islice(source, most)))


_Draw = Callable[[], np.ndarray]


def _timeline(
  path: pathlib.Path, frame_rate: float | None, height: int, width: int
) -> Iterator[tuple[float, float, int, _Draw]]:
  """Yields what is shown: start, end, number of repeats, pixels."""
  source = (
    _drawn(path, frame_rate, height, width)
    if pictures.is_picture(path)
    else _filmed(path, frame_rate, height, width)
  )
  draw: _Draw | None = None
  first = before = 0.0
  count = 0
  for time, following in source:
    if draw is None:
      first = time
    elif frame_rate is None:
      yield before - first, time - first, 1, draw
    else:
      due = math.ceil((time - first) * frame_rate - _ROUNDING)
      if due > count:
        yield count / frame_rate, due / frame_rate, due - count, draw
        count = due
    before, draw = time, following


def _drawn(
  path: pathlib.Path, frame_rate: float | None, height: int, width: int
) -> Iterator[tuple[float, _Draw | None]]:
  """Yields pictures with the time when they appear; None marks the end."""
  time = 0.0
  for seconds, pixels in pictures.shown(path):
    frame = fitting.of_pixels(pixels)
    yield time, functools.partial(fitting.fit, frame, height, width, path)
    # A still picture makes one frame, whatever the rate.
    time += seconds or 1 / (frame_rate or 1 / _STILL_SECONDS)
  yield time, None


def _filmed(
  path: pathlib.Path, frame_rate: float | None, height: int, width: int
) -> Iterator[tuple[float, _Draw | None]]:
  """Yields the same as `_drawn`, for a video."""
  with containers.opened(path) as container:
    stream = containers.video_of(container, path)
    stream.thread_type = 'AUTO'
    source_interval = 1 / float(stream.average_rate or frame_rate or 25)
    # Pixels of some formats are not square; 0 stands for unknown.
    pixel_aspect = float(stream.sample_aspect_ratio or 0) or 1.0
    time = None

    def drawing(frame: 'av.VideoFrame') -> _Draw:
      return lambda: fitting.fit(frame, height, width, path, pixel_aspect)

    for index, frame in enumerate(containers.decoded(container, stream, path)):
      time = frame.time if frame.time is not None else index * source_interval
      yield time, drawing(frame)
    if time is None:
      raise containers.UnusableFileError(
        f'{path}: no frame of it can be decoded'
      )
    yield time + source_interval, None
