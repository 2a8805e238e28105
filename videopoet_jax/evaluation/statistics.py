"""Shares with their intervals, and distances between spreads."""

import math

import numpy as np

_Z_95 = 1.959963984540054  # Two-sided 95 % of the normal distribution.


def wilson(
  successes: int, samples: int, z: float = _Z_95
) -> tuple[float, float]:
  """Wilson's score interval of a share (Wilson, 1927).

  Unlike the normal interval it stays within [0, 1] and keeps a width at
  shares of 0 and 1, where most rows of a good model are.

  Args:
    successes: how many passed.
    samples: of how many.
    z: quantile of the normal distribution; 95 % confidence by default.

  Returns:
    (low, high).

  Raises:
    ValueError: no samples, or more successes than samples.
  """
  if not 0 <= successes <= samples or samples < 1:
    raise ValueError(f'{successes} of {samples} is no share.')
  share = successes / samples
  scale = 1 + z * z / samples
  middle = (share + z * z / (2 * samples)) / scale
  half = (
    z
    / scale
    * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples))
  )
  # Exact at the ends, where rounding would put the share outside.
  low = middle - half if successes else 0.0
  high = middle + half if successes < samples else 1.0
  return low, high


def total_variation(labels: np.ndarray, expected: np.ndarray) -> float:
  """Half the sum of absolute differences between two spreads.

  Args:
    labels: int (N,), the observed categories.
    expected: (categories,), the shares expected; they sum to 1.

  Returns:
    0 for equal spreads, 1 for disjoint ones or no labels at all.
  """
  if not len(labels):
    return 1.0
  counts = np.bincount(labels, minlength=len(expected))
  return float(0.5 * np.abs(counts / len(labels) - expected).sum())
