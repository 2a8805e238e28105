"""Conversion between 16-bit sound and floats: one scale everywhere.

A sample s is s / 32768, so that floats lie in [-1, 1) exactly; the way back is
rounded and clipped, and gives every one of the 65,536 samples again.
"""

from typing import Any

import numpy as np

SCALE = 32768


def to_float(audio: Any) -> Any:
  """Brings int16 samples to float32 in [-1, 1); floats pass as float32.

  Args:
    audio: int16 or float, an array of NumPy or JAX, of any shape.
  """
  if audio.dtype == np.int16:
    return audio.astype(np.float32) / np.float32(SCALE)
  return audio.astype(np.float32)


def to_int16(audio: Any) -> np.ndarray:
  """Brings float waveforms in [-1, 1] to int16 samples, rounded, clipped.

  1.0 itself, which no sample stands for, becomes 32767.

  Args:
    audio: float, an array of NumPy or JAX, of any shape.
  """
  scaled = np.rint(np.asarray(audio, np.float32) * np.float32(SCALE))
  return np.clip(scaled, -SCALE, SCALE - 1).astype(np.int16)
