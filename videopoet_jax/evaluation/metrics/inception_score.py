"""The Inception Score of a classifier's probabilities, streamed.

exp(mean over samples of KL(p(y|x) | p(y))) (Salimans et al., 2016), for videos
by C3D trained on UCF-101 (Saito et al., 2020). The mean divergence is the mean
negative entropy of the samples minus that of their mean, so only the summed
probability of each class and one number are kept.
"""

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import features
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.networks import interface as networks


@dataclasses.dataclass(frozen=True)
class InceptionScore:
  """The Inception Score of generated videos.

  Attributes:
    network: network of the class probabilities.
    splits: number of parts over which the score is averaged; sample i is in
      part i modulo `splits`.
    name: name in results.
  """

  network: networks.FeatureNetwork
  splits: int = 1
  name: str = 'is'
  higher_is_better: bool = True

  def __post_init__(self) -> None:
    if self.splits < 1:
      raise errors.ConfigError(f'splits is {self.splits}; give 1 or more.')
    if self.network.stand_in and self.name == 'is':
      raise errors.ConfigError(
        f"'is' means C3D's score, and {self.network.name} stands in for it; "
        'give the metric another name.'
      )

  @property
  def needs(self) -> tuple[str, ...]:
    """The videos, and their indices if there are several parts."""
    return ('generated',) + (('index',) if self.splits > 1 else ())

  @property
  def fingerprint(self) -> str:
    """Hash of the settings and of the network's weights."""
    return interface.fingerprint_of(
      self.name, self.splits, self.network.fingerprint
    )

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    """Probabilities, float32 (B, classes), and the samples' indices.

    Raises:
      DataError: the network's outputs are not probabilities.
    """
    probabilities = features.of(self.network, batch, 'generated')
    sums_B = probabilities.sum(axis=-1)
    if probabilities.min() < 0 or np.abs(sums_B - 1).max() > 1e-3:
      raise errors.DataError(
        f'{self.network.name} gives no probabilities (they sum to '
        f'{sums_B.min():.4g} to {sums_B.max():.4g}); the Inception Score needs '
        'a classifier that ends in a softmax.'
      )
    measured = {'probabilities': probabilities}
    if self.splits > 1:
      measured['index'] = interface.need(batch, 'index', self.name)
    return measured

  def empty(self) -> interface.State:
    return {
      'count': np.zeros(self.splits),
      'probabilities': np.zeros((self.splits, self.network.width)),
      'negative_entropy': np.zeros(self.splits),
    }

  def add(
    self, state: interface.State, measured: interface.Arrays
  ) -> interface.State:
    probabilities = np.asarray(measured['probabilities'], np.float64)
    parts = np.zeros(len(probabilities), int)
    if self.splits > 1:
      parts = measured['index'] % self.splits
    block = self.empty()
    negative_entropy_B = _p_log_p(probabilities).sum(axis=-1)
    for part in np.unique(parts):
      mine = parts == part
      block['count'][part] = mine.sum()
      block['probabilities'][part] = probabilities[mine].sum(axis=0)
      block['negative_entropy'][part] = math.fsum(negative_entropy_B[mine])
    return self.merge([state, block])

  def merge(self, states: Sequence[interface.State]) -> interface.State:
    total = self.empty()
    for state in states:
      for name in total:
        total[name] += state[name]
    return total

  def compute(self, state: interface.State) -> float:
    scores = []
    for count, summed, negative_entropy in zip(
      state['count'], state['probabilities'], state['negative_entropy']
    ):
      if count:
        of_mean = _p_log_p(summed / count).sum()
        scores.append(math.exp(negative_entropy / count - of_mean))
    return math.fsum(scores) / len(scores) if scores else math.nan


def _p_log_p(probabilities: np.ndarray) -> np.ndarray:
  """P log p, 0 where p is 0."""
  logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
  return probabilities * logs
