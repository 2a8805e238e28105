"""Chooses the layout of each step; estimates the padding of alternatives.

Alternating gradient descent (Akbari et al., 2023; VideoPoet section 3.4): the
layouts of one total length are a group; an iteration draws a group, then a
layout in it, and its whole batch is of that layout, so nothing is padded.
"""

from collections.abc import Mapping, Sequence
import dataclasses

import gin
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import kernel_blocks
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import permutation
from videopoet_jax.core import types

_KINDS = ('constant', 'two_stage')
_CHUNK = 1 << 18
_CACHED = 4096


@gin.configurable
@dataclasses.dataclass(frozen=True)
class MixtureSchedule:
  """Schedule of the layouts' shares during a run.

  Attributes:
    kind: `constant` (the tasks' rates), or `two_stage`: at first most batches
      are images, then most are video (section 3.4).
    steps: iterations of the whole run; only `two_stage` needs it.
    first_share: share of the iterations that the first stage takes.
    major_share: share of image batches in the first stage, of video batches
      in the second.
  """

  kind: str = 'two_stage'
  steps: int = 0
  first_share: float = 0.25
  major_share: float = 0.9

  def __post_init__(self) -> None:
    """Raises errors.ConfigError for an invalid value."""
    if self.kind not in _KINDS:
      hint = errors.near_names(self.kind, _KINDS)
      raise errors.ConfigError(
        f'MixtureSchedule.kind: there is no {self.kind!r}{hint}.'
      )
    errors.check_range(self, 'steps')
    for name in ('first_share', 'major_share'):
      if not 0 <= getattr(self, name) <= 1:
        raise errors.ConfigError(
          f'MixtureSchedule.{name} is {getattr(self, name)}; expected a share '
          'from 0 to 1.'
        )
    if self.kind == 'two_stage' and self.steps < 1:
      raise errors.ConfigError(
        'MixtureSchedule.steps is open: two_stage needs the number of '
        "iterations of the run. Bind it, or MixtureSchedule.kind='constant'."
      )


def is_image(layout: layout_lib.SequenceLayout) -> bool:
  """Whether a layout holds pictures: one latent frame and no sound."""
  frames = [
    s.start + s.shape[0]
    for s in layout.segments
    if s.modality is types.Modality.VISUAL
  ]
  sound = any(s.modality is types.Modality.AUDIO for s in layout.segments)
  return bool(frames) and max(frames) == 1 and not sound


class Mixture:
  """Draws the layout of each step, a pure function of (seed, step).

  Attributes:
    layouts: all of them, in the order of their indices.
  """

  def __init__(
    self,
    layouts: Sequence[layout_lib.SequenceLayout],
    weights: Mapping[str, float],
    schedule: MixtureSchedule,
    seed: int,
  ) -> None:
    """Prepares the shares.

    Args:
      layouts: layouts of the run.
      weights: weights by layout name, in any unit.
      schedule: schedule of the shares.
      seed: seed of the draws.

    Raises:
      ConfigError: there are no layouts, or a name or a weight is invalid.
    """
    if not layouts:
      raise errors.ConfigError('a run needs at least one layout.')
    names = [layout.name for layout in layouts]
    for name in weights:
      if name not in names:
        hint = errors.near_names(name, names)
        raise errors.ConfigError(
          f'a weight is given for {name!r}, which is no layout of this '
          f'run{hint}.'
        )
    base = np.array([float(weights.get(name, 1.0)) for name in names])
    if (base < 0).any() or not base.sum():
      raise errors.ConfigError(
        f'the weights of the layouts must not be negative, nor all 0: '
        f'{dict(weights)}.'
      )
    self.layouts = tuple(layouts)
    self._chunk: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))
    self._keys = [permutation.fold(seed, k) for k in ('group', 'layout')]
    images = np.array([is_image(layout) for layout in layouts])
    self._stages = _stages(base / base.sum(), images, schedule)
    self._first = (
      round(schedule.steps * schedule.first_share)
      if schedule.kind == 'two_stage'
      else 0
    )
    self._first_share = self._first / schedule.steps if self._first else 0.0
    groups = layout_lib.groups(layouts)
    self._groups = [
      np.array([names.index(layout.name) for layout in group])
      for group in groups.values()
    ]

  def shares(self, step: int) -> np.ndarray:
    """Float (layouts,): the share of each layout at a step."""
    return self._stages[0 if step < self._first else 1]

  def average_shares(self) -> np.ndarray:
    """Float (layouts,): the share of each layout, averaged over the run.

    A schedule that changes covers its `steps`.
    """
    first, last = self._stages
    return first * self._first_share + last * (1 - self._first_share)

  def at(self, step: int) -> int:
    """Index of the layout of one step; fast for consecutive steps."""
    number, place = divmod(step, _CACHED)
    if self._chunk[0] != number:
      first = number * _CACHED
      self._chunk = (number, self.draw(np.arange(first, first + _CACHED)))
    return int(self._chunk[1][place])

  def draw(self, steps: np.ndarray) -> np.ndarray:
    """Index of the layout of each step.

    Args:
      steps: int (n,).

    Returns:
      int64 (n,).
    """
    steps = np.asarray(steps, np.int64)
    in_group, in_layout = (permutation.uniform(k, steps) for k in self._keys)
    drawn = np.empty(steps.shape, np.int64)
    for stage, shares in enumerate(self._stages):
      here = np.flatnonzero((steps < self._first) == (stage == 0))
      if not here.size:
        continue
      sums = [shares[group].sum() for group in self._groups]
      chosen = _choose(np.array(sums), in_group[here])
      for index, group in enumerate(self._groups):
        of_group = here[chosen == index]
        if of_group.size:
          within = _choose(shares[group], in_layout[of_group])
          drawn[of_group] = group[within]
    return drawn

  def counts(self, start: int, stop: int) -> np.ndarray:
    """int64 (layouts,): how many steps in [start, stop) draw each layout."""
    counts = np.zeros(len(self.layouts), np.int64)
    for first in range(start, stop, _CHUNK):
      drawn = self.draw(np.arange(first, min(stop, first + _CHUNK)))
      counts += np.bincount(drawn, minlength=len(counts))
    return counts


def _stages(
  shares: np.ndarray, images: np.ndarray, schedule: MixtureSchedule
) -> tuple[np.ndarray, np.ndarray]:
  """Shares of the layouts in the first and in the second stage."""
  one_kind = not shares[images].sum() or not shares[~images].sum()
  if schedule.kind == 'constant' or one_kind:
    return shares, shares
  stages = []
  for image_share in (schedule.major_share, 1 - schedule.major_share):
    stage = np.where(
      images,
      image_share * shares / shares[images].sum(),
      (1 - image_share) * shares / shares[~images].sum(),
    )
    stages.append(stage)
  return stages[0], stages[1]


def _choose(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
  """Index drawn in proportion to weights for each uniform number."""
  edges = np.cumsum(weights) / weights.sum()
  # Rounding must not lead past the last option of positive weight.
  last = np.flatnonzero(weights)[-1]
  return np.minimum(np.searchsorted(edges, uniform, side='right'), last)


def agd_report(
  layouts: Sequence[layout_lib.SequenceLayout],
  shares: Sequence[float],
  *,
  tokens_per_batch: int,
  text_lengths: Sequence[int] = (),
  examples: int = 4096,
  seed: int = 0,
) -> dict[str, float]:
  """Reports the padding of this batching, and that of packing.

  Args:
    layouts: layouts of the run.
    shares: share of the batches for each layout.
    tokens_per_batch: positions a batch.
    text_lengths: lengths in slots of some texts; without them no slot counts as
      unused.
    examples: number of examples drawn to simulate packing.
    seed: seed of that draw.

  Returns:
    Shares from 0 to 1 of all positions: `layout_padding` (positions outside of
    segments, which is 0 as a layout is the sum of its segments), `unused_text`
    (text slots without text), `kernel_padding` (added to fill the last block of
    a TPU's attention kernel, see `core.kernel_blocks`), `packing_would_pad`
    (left empty by first-fit packing of the mixture into rows of the longest
    layout), `longest_would_pad` (if every example were padded to the longest
    layout), and `kernel_multiple`, which blocks are multiples of.
  """
  shares_L = np.asarray(shares, np.float64) / np.sum(shares)
  lengths = np.array([layout.length for layout in layouts])
  batch = np.array(
    [layout_lib.examples_per_batch(la, tokens_per_batch) for la in layouts]
  )
  weight = shares_L * batch  # Examples of each layout, up to a constant.
  positions = float((weight * lengths).sum())
  held = np.array([sum(s.size for s in la.segments) for la in layouts])
  slots = np.array(
    [
      sum(s.size for s in la.segments if s.modality is types.Modality.TEXT)
      for la in layouts
    ]
  )
  unused = 0.0
  if len(text_lengths):
    used = np.minimum(np.asarray(text_lengths)[:, None], slots[None, :])
    unused = float((weight * (slots - used.mean(0))).sum()) / positions
  inputs = float((weight * [la.input_length for la in layouts]).sum())
  padding = float((weight * [la.kernel_padding for la in layouts]).sum())
  drawn = np.random.default_rng(seed).choice(
    lengths, size=examples, p=weight / weight.sum()
  )
  return {
    'layout_padding': float((weight * (lengths - held)).sum()) / positions,
    'unused_text': unused,
    'kernel_padding': padding / (inputs + padding),
    'longest_would_pad': 1
    - float((weight * held).sum() / (weight.sum() * lengths.max())),
    'packing_would_pad': _first_fit_waste(drawn, int(lengths.max())),
    'kernel_multiple': kernel_blocks.LANES,
  }


def _first_fit_waste(lengths: np.ndarray, row: int) -> float:
  """Share of the rows left empty when each length goes into the first fit."""
  free = np.zeros(len(lengths), np.int64)
  rows = 0
  for length in lengths:
    fits = np.flatnonzero(free[:rows] >= length)
    if fits.size:
      free[fits[0]] -= length
    else:
      free[rows] = row - length
      rows += 1
  return float(free[:rows].sum()) / (rows * row)
