"""Feature networks without weights, for tests of metrics."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Projection:
  """Fixed random projections of what it is given."""

  takes: str = 'video'
  width: int = 12
  name: str = 'projection'
  stand_in: bool = False
  seed: int = 0

  @property
  def fingerprint(self):
    return f'projection{self.seed}'

  def __call__(self, batch):
    flat = batch.reshape(len(batch), -1).astype(np.float64)
    rng = np.random.default_rng(self.seed)
    matrix = rng.normal(size=(flat.shape[1], self.width))
    # One sample at a time: equal bits in any batch.
    return np.stack([row @ matrix for row in flat]).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Classifier(Projection):
  """Probabilities out of the projections."""

  def __call__(self, batch):
    logits = super().__call__(batch).astype(np.float64) / 500
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
