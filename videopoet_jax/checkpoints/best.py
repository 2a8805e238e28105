"""Which step of a run is the best one by a metric of its validation."""

from collections.abc import Mapping, Sequence
import json
import math
import pathlib
from typing import Any

from videopoet_jax.core import errors

# In a step's counters: the metrics of the validation at that step.
SCORES = 'scores'


class Best:
  """Tracks the best step, and keeps Orbax from removing it."""

  def __init__(self, metric: str = '', highest: bool = False) -> None:
    """Starts without any step.

    Args:
      metric: name of the metric, such as 'validation/loss'; '' keeps no step.
      highest: whether more is better.
    """
    self._metric = metric
    self._sign = -1.0 if highest else 1.0
    self.step: int | None = None
    self._value = math.inf

  def is_best(self, scores: Mapping[str, float]) -> bool:
    """Whether a step's metrics are better than those of all earlier steps.

    Raises:
      ConfigError: there are metrics, and the requested one is not among them.
    """
    if not self._metric or not scores:
      return False
    if self._metric not in scores:
      hint = errors.near_names(self._metric, scores)
      raise errors.ConfigError(
        f'LoopConfig.keep_best is {self._metric!r}, which is not a metric of '
        f'the validation{hint}; there are {", ".join(sorted(scores)[:8])}'
      )
    return self._sign * scores[self._metric] < self._value

  def note(self, step: int, scores: Mapping[str, float]) -> None:
    """Records the metrics of a step that is saved."""
    if self.is_best(scores):
      self.step, self._value = step, self._sign * scores[self._metric]

  def read(self, folders: Mapping[int, pathlib.Path]) -> None:
    """Replaces what was recorded by the metrics of the steps on disk.

    Args:
      folders: folders of finished steps, by number.
    """
    self.step, self._value = None, math.inf
    for step in sorted(folders):
      found = saved_scores(folders[step])
      if self._metric in found:
        self.note(step, found)

  def should_preserve(
    self, checkpoints: Sequence[Any], *, context: Any
  ) -> list[bool]:
    """Returns whether to keep each step (Orbax's `PreservationPolicy`)."""
    del context
    return [info.step == self.step for info in checkpoints]


def saved_scores(folder: pathlib.Path) -> dict[str, float]:
  """The metrics that a step was saved with; none if it was not validated."""
  path = folder / 'counters' / 'metadata'
  try:
    return dict(json.loads(path.read_text(encoding='utf-8'))[SCORES])
  except (OSError, ValueError, KeyError, TypeError):
    return {}
