"""Scores of single sounds by a network, without a reference."""

import dataclasses

import numpy as np

from videopoet_jax.evaluation.metrics import features
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import sums
from videopoet_jax.evaluation.networks import interface as networks


@dataclasses.dataclass(frozen=True)
class Quality(sums.SampleMean):
  """The mean of one of the scores that a network gives each sound.

  Attributes:
    network: network of scores (B, n).
    column: index of the score among the n.
    higher_is_better: True, a higher score is better.
  """

  network: networks.FeatureNetwork
  column: int = 0
  higher_is_better: bool = True
  needs: tuple[str, ...] = ('generated_audio',)

  @property
  def name(self) -> str:
    """The network's name, since a score has no other."""
    return self.network.name

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    scores = features.of(self.network, batch, 'generated')
    return {interface.PER_SAMPLE: scores[:, self.column].astype(np.float64)}
