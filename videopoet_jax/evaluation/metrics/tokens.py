"""Perplexity of a modality's tokens."""

import dataclasses
import math

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import sums


@dataclasses.dataclass(frozen=True)
class Perplexity(sums.SampleMean):
  """Exponential of the mean negative log likelihood over all tokens.

  A sample with more tokens has more weight. `value` is a sample's mean in nats;
  only the overall mean is exponentiated.

  Attributes:
    modality: 'visual', 'audio' or 'text'.
    higher_is_better: False, a lower perplexity is better.
  """

  modality: str = 'visual'
  higher_is_better: bool = False

  @property
  def name(self) -> str:
    """The metric's name, such as 'perplexity_visual'."""
    return f'perplexity_{self.modality}'

  @property
  def needs(self) -> tuple[str, ...]:
    """The summed nats, and the number of tokens."""
    return (f'nll_{self.modality}', f'tokens_{self.modality}')

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    """Measures each sample; one without such tokens has no weight.

    Raises:
      DataError: shapes differ or a count is negative.
    """
    nats, counts = (
      np.asarray(interface.need(batch, name, self.name)) for name in self.needs
    )
    if nats.ndim != 1 or nats.shape != counts.shape or counts.min() < 0:
      raise errors.DataError(
        f'{self.name} takes the summed nats and the number of tokens of each '
        f'sample, two vectors; they have shapes {nats.shape}, {counts.shape}.'
      )
    return {
      interface.PER_SAMPLE: nats.astype(np.float64) / np.maximum(counts, 1),
      'weight': counts.astype(np.float64),
    }

  def compute(self, state: interface.State) -> float:
    nats = sums.mean(state)
    return math.inf if nats > 700 else math.exp(nats)
