"""Peak signal-to-noise ratio, the one of every comparison of pixels."""

import numpy as np

_LEVELS = 255.0
# Mean squared error of clips that count as equal: they have 68 dB.
SMALLEST_ERROR = 1e-2


def decibels(
  square_error: np.ndarray | float, smallest: float = SMALLEST_ERROR
) -> np.ndarray:
  """PSNR in dB.

  Args:
    square_error: mean squared errors in levels of 255, of any shape.
    smallest: errors below it count as it.
  """
  return 10 * np.log10(_LEVELS**2 / np.maximum(square_error, smallest))


def psnr(found_BTHWC: np.ndarray, truth_BTHWC: np.ndarray) -> np.ndarray:
  """PSNR in dB, clip by clip: float64 (B,), of uint8 frames."""
  square_B = [
    np.mean(np.square(found.astype(np.float32) - truth), dtype=np.float64)
    for found, truth in zip(found_BTHWC, truth_BTHWC, strict=True)
  ]
  return decibels(np.array(square_B))
