"""Straight motion between two walls, exactly.

A coordinate that moves at constant speed and bounces off two walls is a
triangle wave of time, so its value at any time, its sign of motion and the
times of its bounces need no simulation. Times are in frames.
"""

import numpy as np


def reflect(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
  """Folds free coordinates back between the walls.

  Args:
    value: coordinates of free motion, any shape, in pixels.
    low: the lower wall, broadcast against `value`.
    high: the upper wall, broadcast against `value`.

  Returns:
    The coordinates with bounces, of the broadcast shape.
  """
  span = high - low
  phase = np.mod(value - low, 2 * span)
  return low + np.where(phase > span, 2 * span - phase, phase)


def bounce_times(
  start: float, velocity: float, low: float, high: float, until: float
) -> list[float]:
  """Times in (0, until) at which a coordinate meets a wall, rising."""
  if velocity == 0:
    return []
  first = ((high if velocity > 0 else low) - start) / velocity
  period = (high - low) / abs(velocity)
  count = max(0, int(np.ceil((until - first) / period)))
  return [first + n * period for n in range(count) if first + n * period > 0]
