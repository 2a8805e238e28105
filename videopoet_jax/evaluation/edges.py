"""Compares the sharpness of clips at the edges of the truth."""

import numpy as np

# Luma of ITU-R BT.601, the one of standard definition.
LUMA_3 = np.array([0.299, 0.587, 0.114], np.float32)
_CHUNK = 16


def gradient_magnitude(video_BTHWC: np.ndarray) -> np.ndarray:
  """Length of the gradient of the luma at each inner pixel.

  Args:
    video_BTHWC: uint8 frames.

  Returns:
    float32 (B, T, H - 2, W - 2): length of the gradient by central differences,
    in levels of 255 a pixel.
  """
  luma = video_BTHWC.astype(np.float32) @ LUMA_3
  across = 0.5 * (luma[..., 1:-1, 2:] - luma[..., 1:-1, :-2])
  down = 0.5 * (luma[..., 2:, 1:-1] - luma[..., :-2, 1:-1])
  return np.sqrt(np.square(across) + np.square(down))


def edge_error(found_BTHWC: np.ndarray, truth_BTHWC: np.ndarray) -> np.ndarray:
  """Mean absolute error of the gradient's length, clip by clip.

  Args:
    found_BTHWC: uint8 frames.
    truth_BTHWC: uint8 frames of the same size.

  Returns:
    float64 (B,), in levels of 255 a pixel; 0 for the truth.
  """
  errors = []
  for start in range(0, len(truth_BTHWC), _CHUNK):
    part = slice(start, start + _CHUNK)
    error = gradient_magnitude(found_BTHWC[part]) - gradient_magnitude(
      truth_BTHWC[part]
    )
    errors.append(np.abs(error).mean(axis=(1, 2, 3), dtype=np.float64))
  return np.concatenate(errors)
