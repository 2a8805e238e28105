"""SequenceLayout: the ordered segments of a task variant.

Lengths, the attention mask, loss positions, admissible ids and the mapping
between features and tokens are all derived here from one list of segments.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import functools
import itertools
import math
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import kernel_blocks
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib

Modality = types.Modality
Role = types.Role


@dataclasses.dataclass(frozen=True)
class Segment:
  """A run of positions that hold one thing.

  Attributes:
    name: unique within the layout.
    modality: special, text, visual or audio.
    role: prefix (bidirectional, no loss) or target (causal, loss).
    shape: (1,) for a special token, (slots,) for text, (t, h, w) for visual
      and (levels, frames) for audio; flattened in C order, so audio runs
      level by level, coarse before fine.
    feature: example feature that fills it; empty for a special token.
    start: first latent frame taken from the feature (axis 0 of visual, axis
      1 of audio).
    token: the special token's name.
    ends: where each latent frame of visual and audio ends, in seconds from
      the start of the clip; empty for the rest.
    identity: index of the feature in `LayoutSpace.features`, by which a model
      tells segments of one modality and role apart; -1 where it has none.
  """

  name: str
  modality: Modality
  role: Role
  shape: tuple[int, ...]
  feature: str = ''
  start: int = 0
  token: str = ''
  ends: tuple[float, ...] = ()
  identity: int = -1

  @property
  def size(self) -> int:
    return math.prod(self.shape)

  @property
  def time_axis(self) -> int:
    return 1 if self.modality is Modality.AUDIO else 0


@dataclasses.dataclass(frozen=True)
class Run:
  """Consecutive positions that admit the same ids.

  Attributes:
    start: first position.
    stop: position after the last.
    range: the ids admitted.
    segment: name of the segment it lies in.
  """

  start: int
  stop: int
  range: vocabulary_lib.Range
  segment: str


@dataclasses.dataclass(frozen=True)
class Fill:
  """How one segment is filled: `tokens[positions] = feature[indices] + offset`.

  The same three arrays serve numpy, TensorFlow and JAX.

  Attributes:
    feature: name of the example feature.
    take: number of latent frames the segment takes, from `start`.
    start: first latent frame taken.
    time_axis: axis of the feature that counts latent frames.
    offsets_L: int32, global id of local id 0 at each position.
    positions: slice of the sequence.
  """

  feature: str
  take: int
  start: int
  time_axis: int
  offsets_L: np.ndarray
  positions: slice


@dataclasses.dataclass(frozen=True)
class SequenceLayout:
  """An ordered list of segments over one vocabulary.

  Attributes:
    name: `task/frames x height x width`, options behind a further slash.
    segments: prefix segments first, then target segments.
    vocabulary: the unified vocabulary.
  """

  name: str
  segments: tuple[Segment, ...]
  vocabulary: vocabulary_lib.Vocabulary

  def __post_init__(self) -> None:
    names = [s.name for s in self.segments]
    if len(set(names)) != len(names):
      raise errors.LayoutError(f'{self.name}: segment names repeat: {names}.')
    roles = [s.role for s in self.segments]
    if roles != sorted(roles, key=(Role.PREFIX, Role.TARGET).index):
      raise errors.LayoutError(
        f'{self.name}: every prefix segment must come before the targets.'
      )
    if Role.PREFIX not in roles or Role.TARGET not in roles:
      raise errors.LayoutError(
        f'{self.name}: a layout needs at least one prefix and one target '
        'segment.'
      )
    for segment in self.segments:
      self._check(segment)

  def _check(self, segment: Segment) -> None:
    where = f'{self.name}: segment {segment.name!r}'
    ranks = {Modality.VISUAL: 3, Modality.AUDIO: 2}
    if len(segment.shape) != ranks.get(segment.modality, 1):
      raise errors.LayoutError(f'{where} has shape {segment.shape}.')
    if segment.size < 1:
      raise errors.LayoutError(f'{where} is empty: shape {segment.shape}.')
    if segment.modality is Modality.SPECIAL:
      self.vocabulary.special(segment.token)
    elif not segment.feature:
      raise errors.LayoutError(f'{where} names no feature to fill it.')
    levels = self.vocabulary.audio_levels
    if segment.modality is Modality.AUDIO and segment.shape[0] > levels:
      raise errors.LayoutError(
        f'{where} has {segment.shape[0]} audio levels, the vocabulary {levels}.'
      )

  # Lengths and places.

  @property
  def task(self) -> str:
    return self.name.split('/')[0]

  @functools.cached_property
  def length(self) -> int:
    """Positions of the whole sequence."""
    return sum(s.size for s in self.segments)

  @functools.cached_property
  def prefix_length(self) -> int:
    return sum(s.size for s in self.segments if s.role is Role.PREFIX)

  @property
  def target_length(self) -> int:
    return self.length - self.prefix_length

  @property
  def input_length(self) -> int:
    """Positions of the model's input: the last token predicts nothing."""
    return self.length - 1

  @property
  def kernel_padding(self) -> int:
    """Positions that fill the last block of a TPU's attention kernel."""
    return kernel_blocks.padding(self.input_length, self.prefix_length)

  @functools.cached_property
  def slices(self) -> dict[str, slice]:
    """Slice of the sequence that each segment occupies."""
    slices, start = {}, 0
    for segment in self.segments:
      slices[segment.name] = slice(start, start + segment.size)
      start += segment.size
    return slices

  def segment(self, name: str) -> Segment:
    for segment in self.segments:
      if segment.name == name:
        return segment
    hint = errors.near_names(name, self.slices)
    raise errors.LayoutError(f'{self.name}: no segment {name!r}{hint}.')

  def filled(self, role: Role | None = None) -> tuple[Segment, ...]:
    """Segments that an example fills, those of one role if given."""
    return tuple(
      s for s in self.segments if s.feature and role in (None, s.role)
    )

  # Admissible ids.

  def _segment_runs(self, segment: Segment) -> list[tuple[int, Any]]:
    """(size, range) of each run of one segment, in order."""
    vocabulary = self.vocabulary
    if segment.modality is Modality.SPECIAL:
      row = vocabulary.special(segment.token)
      return [(1, vocabulary_lib.Range(Modality.SPECIAL, row, 1, row))]
    if segment.modality is Modality.AUDIO:
      levels, frames = segment.shape
      return [(frames, vocabulary.audio_level(k)) for k in range(levels)]
    return [(segment.size, vocabulary.ranges[segment.modality])]

  @functools.cached_property
  def runs(self) -> tuple[Run, ...]:
    """Every position's admissible ids, as runs that cover the sequence."""
    runs, start = [], 0
    for segment in self.segments:
      for size, admitted in self._segment_runs(segment):
        runs.append(Run(start, start + size, admitted, segment.name))
        start += size
    return tuple(runs)

  @functools.cached_property
  def target_runs(self) -> tuple[Run, ...]:
    """The runs that are predicted."""
    return tuple(r for r in self.runs if r.start >= self.prefix_length)

  def alike(self, identities: bool = True) -> tuple[Segment, Segment] | None:
    """Two segments whose contents a model could take for each other's.

    They share modality, role and places in time.

    Args:
      identities: whether the model knows which feature each segment holds.

    Returns:
      The first two found, or None.
    """
    for one, other in itertools.combinations(self.filled(), 2):
      if (one.modality, one.role) != (other.modality, other.role):
        continue
      if identities and one.identity != other.identity:
        continue
      if one.modality is Modality.TEXT or (
        one.start < other.start + other.shape[other.time_axis]
        and other.start < one.start + one.shape[one.time_axis]
      ):
        return one, other
    return None

  @functools.cached_property
  def droppable(self) -> dict[str, slice]:
    """Conditions that guidance may hide: each prefix segment with a feature."""
    return {s.name: self.slices[s.name] for s in self.filled(Role.PREFIX)}

  # Static arrays.

  @functools.cached_property
  def template_L(self) -> np.ndarray:
    """int32 (L,): the special tokens in place, 0 (`<pad>`) elsewhere."""
    tokens = np.zeros(self.length, np.int32)
    for segment in self.segments:
      if segment.token:
        tokens[self.slices[segment.name]] = self.vocabulary.special(
          segment.token
        )
    return tokens

  @functools.cached_property
  def modality_L(self) -> np.ndarray:
    """int32 (L,): index of each position's modality in `list(Modality)`."""
    order = list(Modality)
    return np.concatenate(
      [
        np.full(s.size, order.index(s.modality), np.int32)
        for s in self.segments
      ]
    )

  @functools.cached_property
  def coordinates_L3(self) -> np.ndarray:
    """int32 (L, 3): place of each position within its clip.

    Visual: (latent frame, row, column), latent frames counted from the start of
      the clip, so a continuation begins where its condition ends. Audio:
      (latent frame, level, 0). Text: (slot, 0, 0). Special: zeros.
    """
    rows = []
    for segment in self.segments:
      grid = np.indices(segment.shape).reshape(len(segment.shape), -1)
      place = np.zeros((segment.size, 3), np.int32)
      if segment.modality is Modality.AUDIO:
        place[:, 0], place[:, 1] = grid[1] + segment.start, grid[0]
      else:
        place[:, : len(grid)] = grid.T
        place[:, 0] += segment.start
      rows.append(place)
    return np.concatenate(rows)

  def attention_mask_LL(self) -> np.ndarray:
    """Bool (L, L), query by key: prefix bidirectional, target causal."""
    position = np.arange(self.length)
    return (position[None, :] <= position[:, None]) | (
      position[None, :] < self.prefix_length
    )

  # Features to tokens and back.

  @functools.cached_property
  def fills(self) -> tuple[Fill, ...]:
    """How each segment with a feature is filled."""
    fills = []
    for segment in self.filled():
      offsets = [
        np.full(size, admitted.start, np.int32)
        for size, admitted in self._segment_runs(segment)
      ]
      fills.append(
        Fill(
          feature=segment.feature,
          take=segment.shape[segment.time_axis],
          start=segment.start,
          time_axis=segment.time_axis,
          offsets_L=np.concatenate(offsets),
          positions=self.slices[segment.name],
        )
      )
    return tuple(fills)

  def encode(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Maps local ids of each feature to the global ids of the sequence.

    Args:
      features: int (..., *feature shape) for each feature the layout names,
        all with the same leading dimensions: the whole clip's grid, or just
        the conditions (target features may be absent: zeros stand there).

    Returns:
      int32 (..., L).

    Raises:
      LayoutError: a condition is missing, or a shape or id does not fit.
    """
    batch_shape: tuple[int, ...] = ()
    pieces = []
    for segment, fill in zip(self.filled(), self.fills, strict=True):
      if fill.feature not in features:
        if segment.role is Role.TARGET:
          continue
        raise errors.LayoutError(
          f'{self.name} needs the feature {fill.feature!r}; got '
          f'{sorted(features)}.'
        )
      grid = np.asarray(features[fill.feature])
      rank = len(segment.shape)
      taken = np.moveaxis(grid, grid.ndim - rank + fill.time_axis, 0)
      taken = taken[fill.start : fill.start + fill.take]
      taken = np.moveaxis(taken, 0, grid.ndim - rank + fill.time_axis)
      if grid.ndim < rank or taken.shape[taken.ndim - rank :] != segment.shape:
        raise errors.LayoutError(
          f'{self.name}: feature {fill.feature!r} has shape {grid.shape}; '
          f'segment {segment.name!r} takes {segment.shape} from latent frame '
          f'{fill.start}.'
        )
      batch_shape = taken.shape[: taken.ndim - rank]
      local = taken.reshape(*batch_shape, segment.size).astype(np.int64)
      limit = min(r.size for _, r in self._segment_runs(segment))
      if local.size and not (0 <= local.min() and local.max() < limit):
        raise errors.LayoutError(
          f'{self.name}: feature {fill.feature!r} holds ids from '
          f'{local.min()} to {local.max()}; the vocabulary admits 0 to '
          f'{limit - 1}.'
        )
      pieces.append((fill.positions, local + fill.offsets_L))
    tokens = np.empty((*batch_shape, self.length), np.int32)
    tokens[:] = self.template_L
    for positions, values in pieces:
      tokens[..., positions] = values
    return tokens

  def parse(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """Maps global ids of a sequence to each segment's local ids.

    Args:
      tokens: int (..., L).

    Returns:
      By segment name, int32 (..., *segment shape), segments with a feature
      only.

    Raises:
      LayoutError: the length differs, or an id lies outside its segment.
    """
    tokens = np.asarray(tokens)
    if tokens.shape[-1] != self.length:
      raise errors.LayoutError(
        f'{self.name} has {self.length} positions, got {tokens.shape[-1]}.'
      )
    for run in self.runs:
      piece = tokens[..., run.start : run.stop]
      outside = (piece < run.range.start) | (piece >= run.range.stop)
      if outside.any():
        raise errors.LayoutError(
          f'{self.name}: id {int(piece[outside][0])} in segment '
          f'{run.segment!r}, which admits {run.range.start} to '
          f'{run.range.stop - 1}.'
        )
    return {
      segment.name: (tokens[..., fill.positions] - fill.offsets_L)
      .astype(np.int32)
      .reshape(*tokens.shape[:-1], *segment.shape)
      for segment, fill in zip(self.filled(), self.fills, strict=True)
    }

  def parse_features(
    self, tokens: np.ndarray, role: Role | None = None
  ) -> dict[str, np.ndarray]:
    """Like `parse`, by feature: the pieces of one feature joined in time.

    A continuation's condition and prediction become one clip again.
    """
    parsed = self.parse(tokens)
    by_feature: dict[str, list[Segment]] = collections.defaultdict(list)
    for segment in self.filled(role):
      by_feature[segment.feature].append(segment)
    joined = {}
    for feature, segments in by_feature.items():
      segments = sorted(segments, key=lambda s: s.start)
      axis = segments[0].time_axis - len(segments[0].shape)
      joined[feature] = np.concatenate(
        [parsed[s.name] for s in segments], axis=axis
      )
    return joined

  # Description.

  def to_json(self) -> dict[str, Any]:
    """Plain data for `videopoet layouts --json` and for golden files."""
    return {
      'name': self.name,
      'task': self.task,
      'length': self.length,
      'prefix_length': self.prefix_length,
      'target_length': self.target_length,
      'group': self.length,
      'segments': [
        {
          'name': s.name,
          'modality': s.modality.value,
          'role': s.role.value,
          'shape': list(s.shape),
          'size': s.size,
          **(
            {'feature': s.feature, 'start': s.start, 'identity': s.identity}
            if s.feature
            else {}
          ),
          **({'token': s.token} if s.token else {}),
        }
        for s in self.segments
      ],
    }


def groups(
  layouts: Iterable[SequenceLayout],
) -> dict[int, tuple[SequenceLayout, ...]]:
  """AGD groups: layouts of one total length, by that length, ascending."""
  by_length: dict[int, list[SequenceLayout]] = collections.defaultdict(list)
  for layout in layouts:
    by_length[layout.length].append(layout)
  return {length: tuple(by_length[length]) for length in sorted(by_length)}


def examples_per_batch(
  layout: SequenceLayout, tokens_per_batch: int, multiple: int = 1
) -> int:
  """Examples that make a batch of about `tokens_per_batch` positions.

  Args:
    layout: the layout whose batch is sized.
    tokens_per_batch: positions a batch, constant across layouts.
    multiple: the result is a multiple of this (data shards, hosts).

  Returns:
    At least `multiple`.
  """
  return max(1, tokens_per_batch // layout.length // multiple) * multiple


def by_name(layouts: Sequence[SequenceLayout], name: str) -> SequenceLayout:
  """The layout of that name; LayoutError with near names otherwise."""
  table = {layout.name: layout for layout in layouts}
  if name not in table:
    hint = errors.near_names(name, table)
    raise errors.LayoutError(f'no layout {name!r}{hint}.')
  return table[name]
