"""Makes small media files whose content tells time, place and pitch."""

from collections.abc import Sequence
import fractions
import pathlib
import struct

import av
import numpy as np

# A frame's grey level rises by this a second, from a level of 20.
LEVEL_PER_SECOND = 50
FIRST_LEVEL = 20


def level(seconds: float | np.ndarray) -> float | np.ndarray:
  """The grey level of the frame that begins at a time."""
  return FIRST_LEVEL + LEVEL_PER_SECOND * seconds


def ramp(seconds: float, rate: float, height: int, width: int) -> np.ndarray:
  """Frames (T, height, width, 3) whose level tells their time."""
  times = np.arange(round(seconds * rate)) / rate
  grey = np.round(level(times)).astype(np.uint8)
  return np.broadcast_to(
    grey[:, None, None, None], (len(times), height, width, 3)
  ).copy()


def tone(seconds: float, rate: int, hertz: float) -> np.ndarray:
  """A sine of half the full scale, int16 (samples,)."""
  times = np.arange(round(seconds * rate)) / rate
  return np.round(16_000 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)


def write(
  path: pathlib.Path,
  frames_THWC: np.ndarray,
  rate: float,
  *,
  codec: str = 'mpeg4',
  samples_CT: np.ndarray | None = None,
  sampling_rate: int = 48_000,
  audio_layout: str = 'mono',
  audio_codec: str = 'aac',
  times: Sequence[float] | None = None,
  faststart: bool = False,
  sound_start: float = 0.0,
) -> pathlib.Path:
  """Encodes frames, and sound of any channel layout, into a container.

  Args:
    path: its suffix chooses the container.
    frames_THWC: uint8 RGB.
    rate: nominal frame rate.
    codec: of the video.
    samples_CT: int16, one row a channel; None for no sound track.
    sampling_rate: of the sound.
    audio_layout: FFmpeg's name: 'mono', '5.1'.
    audio_codec: of the sound.
    times: begin of each frame in seconds, for a variable rate.
    faststart: put an mp4's index at the front.
    sound_start: time of the first sample, in seconds.

  Returns:
    The path.
  """
  options = {'movflags': 'faststart'} if faststart else {}
  with av.open(str(path), 'w', options=options) as container:
    exact = fractions.Fraction(rate).limit_denominator(1001)
    video = container.add_stream(codec, rate=exact)
    video.height, video.width = frames_THWC.shape[1:3]
    video.pix_fmt = 'yuv420p'
    video.bit_rate = 2_000_000
    # A fine clock, so that any time can be written.
    video.codec_context.time_base = (
      fractions.Fraction(1, 1000) if times is not None else 1 / exact
    )
    sound = None
    if samples_CT is not None:
      sound = container.add_stream(
        audio_codec, rate=sampling_rate, layout=audio_layout
      )
    for index, picture in enumerate(frames_THWC):
      frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
      frame.pts = index if times is None else round(times[index] * 1000)
      frame.time_base = video.codec_context.time_base
      container.mux(video.encode(frame))
    container.mux(video.encode(None))
    if sound is not None:
      for start in range(0, samples_CT.shape[1], 1024):
        piece = samples_CT[:, start : start + 1024].astype(np.float32) / 2**15
        frame = av.AudioFrame.from_ndarray(
          np.ascontiguousarray(piece), format='fltp', layout=audio_layout
        )
        frame.sample_rate = sampling_rate
        frame.pts = start + round(sound_start * sampling_rate)
        frame.time_base = fractions.Fraction(1, sampling_rate)
        container.mux(sound.encode(frame))
      container.mux(sound.encode(None))
  return path


def ramp_file(
  path: pathlib.Path, seconds: float = 5.0, rate: float = 24, **kwargs: object
) -> pathlib.Path:
  """A file of 48 x 64 pixels whose grey level tells the time."""
  return write(path, ramp(seconds, rate, 48, 64), rate, **kwargs)


def turn(path: pathlib.Path, quarters: int) -> pathlib.Path:
  """Gives an mp4 a display matrix, as phones do.

  Args:
    path: of the file, changed in place.
    quarters: turns of 90 degrees, clockwise when shown.

  Returns:
    The path.
  """
  cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters % 4]
  one = 1 << 16
  matrix = (
    (cosine * one, sine * one, 0)
    + (-sine * one, cosine * one, 0)
    + (0, 0, 1 << 30)
  )
  data = bytearray(path.read_bytes())
  # The first track header's: 40 bytes of other fields stand before it.
  place = data.index(b'tkhd') + 44
  data[place : place + 36] = struct.pack('>9i', *matrix)
  path.write_bytes(data)
  return path
