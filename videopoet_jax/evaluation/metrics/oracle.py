"""The oracle's scores on shapes in motion: the share of samples that are right.

The measures are the scoreboard's own (`docs/scoreboard.md`), streamed.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation import held_out
from videopoet_jax.evaluation import measures
from videopoet_jax.evaluation import scoreboard
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import sums

_SOUND = ('video_to_audio', 'audio_video_continuation')


@dataclasses.dataclass(frozen=True)
class Oracle(sums.SampleMean):
  """The share of samples that the measure of a task calls right.

  `unconditional` is 0 where kinds, colours or directions of the sound samples
  are spread unlike those of training, as on the scoreboard; a sample's own
  `value` says nothing of that.

  Attributes:
    task: one of `measures.TASKS`.
    clips: conditions and truth; sample i is of clip i.
    higher_is_better: it is.
  """

  task: str
  clips: held_out.Clips
  higher_is_better: bool = True

  def __post_init__(self) -> None:
    if self.task not in measures.TASKS:
      raise errors.ConfigError(
        f'no oracle judges {self.task!r}'
        f'{errors.near_names(self.task, measures.TASKS)}.'
      )

  @property
  def name(self) -> str:
    """'oracle', of any task."""
    return 'oracle'

  @property
  def needs(self) -> tuple[str, ...]:
    """The task's outputs, and which clips they are of."""
    needs = ['index']
    if self.task != 'video_to_audio':
      needs.append('generated')
    if self.task in _SOUND:
      needs.append('generated_audio')
    return tuple(needs)

  @property
  def fingerprint(self) -> str:
    """Of the task and the clips' configuration."""
    return interface.fingerprint_of(
      self.name, self.task, self.clips.config, len(self.clips)
    )

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    """Judges each sample; unconditional ones are also named.

    Raises:
      DataError: an index is beyond the clips.
    """
    index_B = interface.need(batch, 'index', self.name)
    if len(index_B) and not 0 <= index_B.min() <= index_B.max() < len(
      self.clips
    ):
      raise errors.DataError(
        f'sample {index_B.max()} has no clip: the oracle was given '
        f'{len(self.clips)} clips; draw as many as there are samples.'
      )
    outputs = {name: None for name in ('generated', 'generated_audio')}
    for name in self.needs[1:]:
      outputs[name] = interface.need(batch, name, self.name)
    clips = self.clips.take(index_B)
    readings = measures.read(
      measures.Outputs(outputs['generated'], outputs['generated_audio']),
      clips.config,
    )
    right_B = measures.judge(self.task, readings, clips)
    measured = {interface.PER_SAMPLE: right_B.astype(np.float64)}
    if self.task == 'unconditional':
      for name in scoreboard.ATTRIBUTES:
        measured[name] = np.array(
          [
            getattr(r, name) if r.valid and r.steady else -1
            for r in readings.seen
          ],
          int,
        )
    return measured

  def empty(self) -> interface.State:
    state = sums.empty()
    if self.task == 'unconditional':
      state |= {
        name: np.zeros(len(scoreboard.ATTRIBUTES[name]))
        for name in scoreboard.ATTRIBUTES
      }
    return state

  def add(
    self, state: interface.State, measured: interface.Arrays
  ) -> interface.State:
    added = super().add(state, measured)
    for name in scoreboard.ATTRIBUTES:
      if name in state:
        labels = measured[name][measured[name] >= 0]
        counts = np.bincount(labels, minlength=len(scoreboard.ATTRIBUTES[name]))
        added[name] = state[name] + counts
    return added

  def merge(self, states: Sequence[interface.State]) -> interface.State:
    merged = sums.merge(states)
    for name in scoreboard.ATTRIBUTES:
      if name in states[0]:
        merged[name] = np.sum([state[name] for state in states], axis=0)
    return merged

  def compute(self, state: interface.State) -> float:
    if self.task == 'unconditional' and float(state['weight']):
      labels = {
        name: np.repeat(np.arange(len(names)), state[name].astype(int))
        for name, names in scoreboard.ATTRIBUTES.items()
      }
      distances = scoreboard.spread_of(labels)
      if max(distances.values()) > scoreboard.MAX_TOTAL_VARIATION:
        return 0.0
    return sums.mean(state)
