"""The number of masked tokens after each step of masked decoding.

After step s of S a share gamma(s / S) of the tokens is still masked (MaskGIT,
arXiv 2202.04200, section 3.3; the same in MAGVIT, arXiv 2212.05199). As in
both, that share of N tokens is rounded down, every step fills in at least one
token, and at least one is left for the last step.
"""

from collections.abc import Callable, Mapping
import math

import numpy as np

from videopoet_jax.core import errors

# Share still masked as a function of the share of steps taken, 0 to 1.
SCHEDULES: Mapping[str, Callable[[float], float]] = {
  'cosine': lambda ratio: math.cos(0.5 * math.pi * ratio),
  'linear': lambda ratio: 1.0 - ratio,
  'square': lambda ratio: 1.0 - ratio**2,
  'cubic': lambda ratio: 1.0 - ratio**3,
  'square_root': lambda ratio: 1.0 - math.sqrt(ratio),
}


def check(schedule: str) -> None:
  """Raises ConfigError for an unknown schedule."""
  if schedule not in SCHEDULES:
    hint = errors.near_names(schedule, SCHEDULES)
    raise errors.ConfigError(f'there is no mask schedule {schedule!r}{hint}.')


def still_masked(
  schedule: str, num_steps: int, masked_B: np.ndarray
) -> np.ndarray:
  """Tokens that are masked after each step.

  Example: cosine, 4 steps, 16 tokens -> 14, 11, 6, 0.

  Args:
    schedule: one of `SCHEDULES`.
    num_steps: at least 1; with 1 everything is filled in at once.
    masked_B: int (B,), masked tokens of each sample before the first step.

  Returns:
    int32 (num_steps, B); the last row is 0.

  Raises:
    ConfigError: there is no such schedule, or no step.
  """
  check(schedule)
  if num_steps < 1:
    raise errors.ConfigError(f'{num_steps} steps: at least 1 is needed.')
  numbers_B = np.asarray(masked_B, np.int64)
  rows, before_B = [], numbers_B
  for step in range(1, num_steps):
    share = SCHEDULES[schedule](step / num_steps)
    # A share that is a whole number of tokens must not be rounded below it.
    wished_B = np.floor(numbers_B * share + 1e-9).astype(np.int64)
    before_B = np.maximum(1, np.minimum(before_B - 1, wished_B))
    rows.append(np.minimum(before_B, numbers_B))  # Nothing was masked at all.
  rows.append(np.zeros_like(numbers_B))
  return np.stack(rows).astype(np.int32)
