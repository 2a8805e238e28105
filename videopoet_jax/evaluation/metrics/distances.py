"""Distances of two sets of features: Frechet's, and a kernel distance."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from videopoet_jax.evaluation.metrics import features
from videopoet_jax.evaluation.metrics import gaussian
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import kernel


@dataclasses.dataclass(frozen=True)
class Frechet(features.TwoSets):
  """Frechet's distance: FVD, FID and FAD, depending on the network.

  No features are kept: a state is a mean and a scatter matrix of each side, 2.6
  MB with I3D's 400 dimensions and 67 MB with InceptionV3's 2,048.

  Attributes:
    unbiased: divide scatters by N - 1; see `gaussian.frechet_distance`.
  """

  unbiased: bool = True
  higher_is_better: bool = False

  def empty(self) -> interface.State:
    state: interface.State = {}
    for side in features.SIDES:
      state |= interface.put_under(side, gaussian.empty(self.network.width))
    return state

  def add(
    self, state: interface.State, measured: interface.Arrays
  ) -> interface.State:
    block = self.empty()
    for side in features.SIDES:
      if side in measured:
        statistics = gaussian.of(features.rows(measured[side]))
        block |= interface.put_under(side, statistics)
    return self.merge([state, block])

  def merge(self, states: Sequence[interface.State]) -> interface.State:
    merged: interface.State = {}
    for side in features.SIDES:
      joined = gaussian.merge(features.by_side(states, side))
      merged |= interface.put_under(side, joined)
    return merged

  def compute(self, state: interface.State) -> float:
    generated, real = (interface.under(s, state) for s in features.SIDES)
    return gaussian.frechet_distance(generated, real, self.unbiased)


@dataclasses.dataclass(frozen=True)
class KernelDistance(features.TwoSets):
  """The squared discrepancy by KID's kernel: KVD and KID, by network.

  Every pair of features counts, so the features are kept (float32, 1.6 KB a
  video with I3D); the value is the mean over random subsets, drawn with a fixed
  seed from the samples in order of their indices.

  Attributes:
    subsets: number of subsets.
    subset_size: samples of each subset. If it covers both sets, the single
      estimate over all pairs is used instead.
    seed: seed of the draw.
  """

  subsets: int = 100
  subset_size: int = 1000
  seed: int = 0
  higher_is_better: bool = False

  def empty(self) -> interface.State:
    nothing = np.zeros((0, self.network.width), np.float32)
    return dict.fromkeys(features.SIDES, nothing)

  def add(
    self, state: interface.State, measured: interface.Arrays
  ) -> interface.State:
    block = self.empty()
    for side in features.SIDES:
      if side in measured:
        block[side] = features.rows(np.asarray(measured[side], np.float32))
    return self.merge([state, block])

  def merge(self, states: Sequence[interface.State]) -> interface.State:
    return {
      side: np.concatenate([state[side] for state in states])
      for side in features.SIDES
    }

  def compute(self, state: interface.State) -> float:
    return kernel.subset_discrepancy(
      state['generated'],
      state['real'],
      self.subsets,
      self.subset_size,
      self.seed,
    )
