"""Which step of a run is the best one by a figure of its validation."""

from collections.abc import Mapping, Sequence
import json
import math
import pathlib
from typing import Any

from videopoet_jax.core import errors

# In a step's counters: the figures of the validation at that step.
SCORES = 'scores'


class Best:
  """Knows the best step, and keeps it from being removed by Orbax."""

  def __init__(self, figure: str = '', highest: bool = False) -> None:
    """Knows no step yet.

    Args:
      figure: name of the figure, such as 'validation/loss'; '' keeps no step.
      highest: whether more is better.
    """
    self._figure = figure
    self._sign = -1.0 if highest else 1.0
    self.step: int | None = None
    self._value = math.inf

  def is_best(self, scores: Mapping[str, float]) -> bool:
    """Whether figures are better than all that were noted.

    Raises:
      ConfigError: there are figures, and the one asked for is not among them.
    """
    if not self._figure or not scores:
      return False
    if self._figure not in scores:
      hint = errors.near_names(self._figure, scores)
      raise errors.ConfigError(
        f'LoopConfig.keep_best is {self._figure!r}, which is no figure of the '
        f'validation{hint}; there are {", ".join(sorted(scores)[:8])}'
      )
    return self._sign * scores[self._figure] < self._value

  def note(self, step: int, scores: Mapping[str, float]) -> None:
    """Takes the figures of a step that is saved."""
    if self.is_best(scores):
      self.step, self._value = step, self._sign * scores[self._figure]

  def read(self, folders: Mapping[int, pathlib.Path]) -> None:
    """Forgets what was noted and takes the figures of steps on disk.

    Args:
      folders: of finished steps, by number.
    """
    self.step, self._value = None, math.inf
    for step in sorted(folders):
      found = saved_scores(folders[step])
      if self._figure in found:
        self.note(step, found)

  def should_preserve(
    self, checkpoints: Sequence[Any], *, context: Any
  ) -> list[bool]:
    """For each step whether it has to stay (Orbax's `PreservationPolicy`)."""
    del context
    return [info.step == self.step for info in checkpoints]


def saved_scores(folder: pathlib.Path) -> dict[str, float]:
  """The figures that a step was saved with; none if it was not validated."""
  path = folder / 'counters' / 'metadata'
  try:
    return dict(json.loads(path.read_text(encoding='utf-8'))[SCORES])
  except (OSError, ValueError, KeyError, TypeError):
    return {}
