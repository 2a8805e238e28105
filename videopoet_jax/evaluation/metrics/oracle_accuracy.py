"""The scoreboard of shapes in motion as a metric: the share of right samples.

It uses the same code as the demo's scoreboard: `scoreboard.judge` for each
sample, `scoreboard.summarize` for the row.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from videopoet_jax.evaluation import intervals
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges
from videopoet_jax.shapes import scoreboard

NAME = 'right'


@dataclasses.dataclass(frozen=True)
class Right:
  """Share of the samples that the oracle finds right; see `Metric`.

  Attributes:
    task: one of `judges.TASKS`.
    clips_of: function from sample numbers to their conditions.
    condition_frames: frames that the condition of a continuation holds.
    layout: layout of the samples, for the row.
    name: name in results.
    higher_is_better: True, a larger share is better.
  """

  task: str
  clips_of: Callable[[np.ndarray], held_out.Clips]
  condition_frames: int = 0
  layout: str = ''
  name: str = NAME
  higher_is_better: bool = True

  @property
  def needs(self) -> tuple[str, ...]:
    """The outputs of the task, which the oracle reads."""
    needed = ['index']
    if self.task != 'video_to_audio':
      needed.append('generated')
    if self.task in ('video_to_audio', 'audio_video_continuation'):
      needed.append('generated_audio')
    return tuple(needed)

  @property
  def fingerprint(self) -> str:
    """Hash of the settings of the measures."""
    return interface.fingerprint_of(
      self.name,
      self.task,
      self.condition_frames,
      judges.POSITION_PIXELS,
      judges.CLICK_SECONDS,
      judges.PAINTING_GAIN_DB,
      scoreboard.MAX_TOTAL_VARIATION,
    )

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    """Judges each sample by `scoreboard.judge`."""
    for name in self.needs:
      interface.need(batch, name, self.name)
    outputs = judges.Outputs(
      batch.get('generated') if 'generated' in self.needs else None,
      batch.get('generated_audio') if 'generated_audio' in self.needs else None,
    )
    return scoreboard.judge(self.task, outputs, self.clips_of(batch['index']))

  def empty(self) -> interface.State:
    return {}

  def add(
    self, state: interface.State, measured: interface.Arrays
  ) -> interface.State:
    """Keeps the few numbers of each sample unchanged."""
    return self.merge([state, dict(measured)])

  def merge(self, states: Sequence[interface.State]) -> interface.State:
    """Concatenates all samples, in order."""
    states = [state for state in states if state]
    if not states:
      return {}
    return {
      name: np.concatenate([state[name] for state in states])
      for name in states[0]
    }

  def compute(self, state: interface.State) -> float:
    """The share of right samples, without the row's chance."""
    if not state:
      return float('nan')
    return float(scoreboard.summarize(self.task, state, {'': 0.0})['value'])

  def summarize(
    self, state: interface.State
  ) -> tuple[intervals.Estimate, Mapping[str, Any]]:
    """The value with Wilson's interval, and the scoreboard's whole row."""
    clips = self.clips_of(np.arange(len(state[scoreboard.RIGHT])))
    ways = scoreboard.chances(self.task, clips, self.condition_frames)
    row = scoreboard.summarize(self.task, state, ways)
    row['layout'] = self.layout
    return intervals.Estimate(row['value'], row['low'], row['high']), row
