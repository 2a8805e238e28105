"""PSNR and SSIM of pairs of videos."""

import dataclasses

import numpy as np
from scipy import ndimage

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import features
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import sums
from videopoet_jax.media import quality

_LEVELS = 255.0
# SSIM's constants and window (Wang et al., 2004).
_SIGMA = 1.5
_RADIUS = 5
_C1, _C2 = (0.01 * _LEVELS) ** 2, (0.03 * _LEVELS) ** 2


def _videos(batch: interface.Arrays, name: str) -> tuple[np.ndarray, ...]:
  generated, real = interface.pair(batch, name)
  return features.frames(generated, 'generated'), features.frames(real, 'real')


@dataclasses.dataclass(frozen=True)
class PSNR(sums.SampleMean):
  """Peak signal-to-noise ratio in dB, the mean over samples.

  Attributes:
    over: 'frame' takes the mean of the frames' ratios, 'video' the ratio of the
      mean square over the whole video.
    smallest_error: least mean square, in levels of 255: without a floor a
      perfect frame would make every mean infinite. 0.01 is 68 dB.
    name: name in results.
  """

  over: str = 'frame'
  smallest_error: float = 1e-2
  name: str = 'psnr'
  higher_is_better: bool = True
  needs: tuple[str, ...] = ('generated', 'real')

  def __post_init__(self) -> None:
    if self.over not in ('frame', 'video'):
      raise errors.ConfigError(
        f"PSNR.over is {self.over!r}; it is 'frame' or 'video'."
      )

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    generated, real = _videos(batch, self.name)
    values = []
    for one, other in zip(generated, real):
      error = one.astype(np.float64) - other
      square_T = np.mean(error**2, axis=(1, 2, 3))
      if self.over == 'video':
        square_T = square_T.mean(keepdims=True)
      values.append(np.mean(quality.decibels(square_T, self.smallest_error)))
    return {interface.PER_SAMPLE: np.array(values, np.float64)}


@dataclasses.dataclass(frozen=True)
class SSIM(sums.SampleMean):
  """Structural similarity, the mean over frames, then samples.

  The window is a Gaussian of 11 x 11 pixels and sigma 1.5, applied to each
  channel at places where the whole window lies within the frame.

  Attributes:
    name: name in results.
  """

  name: str = 'ssim'
  higher_is_better: bool = True
  needs: tuple[str, ...] = ('generated', 'real')

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    """Measures each pair.

    Raises:
      DataError: frames are smaller than the window.
    """
    generated, real = _videos(batch, self.name)
    if min(generated.shape[2:4]) <= 2 * _RADIUS:
      raise errors.DataError(
        f'SSIM needs frames of {2 * _RADIUS + 1} x {2 * _RADIUS + 1} pixels or '
        f'more, not {generated.shape[2]} x {generated.shape[3]}.'
      )
    values = [
      similarity_map(one, other).mean() for one, other in zip(generated, real)
    ]
    return {interface.PER_SAMPLE: np.array(values, np.float64)}


def similarity_map(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """SSIM at each place whose window lies within the frame.

  Args:
    one: frames (T, H, W, C) in levels of 0 to 255.
    other: frames of the same shape.

  Returns:
    float64 (T, H - 10, W - 10, C).
  """
  one, other = one.astype(np.float64), other.astype(np.float64)
  mean_1, mean_2 = _blur(one), _blur(other)
  variance_1 = _blur(one * one) - mean_1**2
  variance_2 = _blur(other * other) - mean_2**2
  both = _blur(one * other) - mean_1 * mean_2
  return ((2 * mean_1 * mean_2 + _C1) * (2 * both + _C2)) / (
    (mean_1**2 + mean_2**2 + _C1) * (variance_1 + variance_2 + _C2)
  )


def _blur(frames: np.ndarray) -> np.ndarray:
  offsets = np.arange(-_RADIUS, _RADIUS + 1)
  window = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
  window /= window.sum()
  inner = slice(_RADIUS, -_RADIUS)
  rows = ndimage.correlate1d(frames, window, axis=1)[:, inner]
  return ndimage.correlate1d(rows, window, axis=2)[:, :, inner]
