"""Clips and sounds as data URIs, for a page that needs nothing beside it."""

import base64
import io
import wave

from matplotlib import colormaps
import numpy as np
from PIL import Image

from videopoet_jax.core import pcm

_SHORTEST = 96  # pixels of a clip's shorter side on a page, at least.
_WINDOW = 512
_HOP = 128
_FLOOR_DB = -70.0


def _uri(kind: str, data: bytes) -> str:
  return f'data:{kind};base64,{base64.b64encode(data).decode("ascii")}'


def animation(video_THW3: np.ndarray, frame_rate: float, scale: int = 0) -> str:
  """A clip as an animated WebP; one frame makes a still picture.

  Small clips are kept to the bit; larger ones would make a page too large.

  Args:
    video_THW3: uint8 frames.
    frame_rate: frames a second.
    scale: every pixel becomes a square of this side; 0 makes small clips large
      enough to be looked at.

  Returns:
    A data URI.
  """
  shortest = min(video_THW3.shape[1:3])
  scale = scale or max(1, _SHORTEST // shortest)
  pictures = [
    Image.fromarray(np.ascontiguousarray(frame)).resize(
      (frame.shape[1] * scale, frame.shape[0] * scale), Image.Resampling.NEAREST
    )
    for frame in video_THW3
  ]
  buffer = io.BytesIO()
  pictures[0].save(
    buffer,
    'WEBP',
    save_all=len(pictures) > 1,
    append_images=pictures[1:],
    duration=round(1000 / frame_rate),
    loop=0,
    lossless=shortest < _SHORTEST,
    quality=80,
    method=2,
  )
  return _uri('image/webp', buffer.getvalue())


def sound(audio_T: np.ndarray, sampling_rate: int) -> str:
  """A waveform, int16 (samples,), as a WAV data URI."""
  buffer = io.BytesIO()
  with wave.open(buffer, 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(sampling_rate)
    file.writeframes(np.asarray(audio_T, '<i2').tobytes())
  return _uri('audio/wav', buffer.getvalue())


def spectrogram(
  audio_T: np.ndarray, sampling_rate: int, highest: float = 3200.0
) -> str:
  """A waveform's log power over time and frequency, as a PNG data URI.

  Args:
    audio_T: int16 (samples,).
    sampling_rate: samples a second.
    highest: frequency of the topmost row, in Hz.

  Returns:
    A data URI of a picture with a column each 128 samples.
  """
  signal_T = pcm.to_float(np.asarray(audio_T, np.int16))
  signal_T = np.pad(signal_T, (0, max(0, _WINDOW - len(signal_T))))
  frames = np.lib.stride_tricks.sliding_window_view(signal_T, _WINDOW)[::_HOP]
  power_NF = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW))) ** 2
  rows = int(highest / (sampling_rate / _WINDOW))
  level = 10 * np.log10(power_NF[:, :rows] / (_WINDOW / 4) ** 2 + 1e-12)
  unit = np.clip((level - _FLOOR_DB) / -_FLOOR_DB, 0, 1)
  picture = Image.fromarray(
    (colormaps['magma'](unit.T[::-1])[..., :3] * 255).astype(np.uint8)
  )
  buffer = io.BytesIO()
  picture.save(buffer, 'PNG', optimize=True)
  return _uri('image/png', buffer.getvalue())


def figure(plot: object) -> str:
  """A matplotlib figure as an SVG data URI."""
  buffer = io.BytesIO()
  plot.savefig(buffer, format='svg', bbox_inches='tight', transparent=True)  # type: ignore[attr-defined]
  return _uri('image/svg+xml', buffer.getvalue())
