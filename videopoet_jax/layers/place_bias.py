"""Relative positions like T5's, along every axis of a clip.

T5 (arXiv 1910.10683) adds a learned number for the distance of query and key
along the sequence. In a sequence of clips that distance means little: the same
cell one latent frame back is 256 positions away. Here one number is learned for
the distance along each axis (time, row, column), and their sum is added.
"""

from collections.abc import Iterator
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.layers import partitioning
from videopoet_jax.layers import positions

Modality = types.Modality

# Distances below half of `_SIDE` have a bucket of their own: 32 latent frames,
# rows and columns, more than the paper's largest clip has (11 x 28 x 16).
# Longer ones share buckets that widen logarithmically up to `_FARTHEST`.
_SIDE = 64
_FARTHEST = 512

# Time, row and column; time and level; slot; the order of special tokens.
_AXES = {
  Modality.VISUAL: 3,
  Modality.AUDIO: 2,
  Modality.TEXT: 1,
  Modality.SPECIAL: 1,
}


def _places(offsets: np.ndarray) -> np.ndarray:
  """Buckets of places counted from 0, int of the same shape."""
  return positions.distance_buckets(offsets, _SIDE, _FARTHEST)


def _signed(offsets: np.ndarray) -> np.ndarray:
  """Buckets of offsets of either sign, int of the same shape."""
  return _places(np.abs(offsets)) + _SIDE * (offsets > 0)


def _blocks() -> Iterator[tuple[tuple[Any, ...], int]]:
  """Meaning of each block of the table's rows, and its number of rows."""
  for modality, axes in _AXES.items():
    for relation in ('own', 'other'):
      for axis in range(axes):
        yield (modality, relation, axis), 2 * _SIDE
  for query in _AXES:
    for key in _AXES:
      if query is key:
        continue
      for side, modality in (('query', query), ('key', key)):
        for axis in range(_AXES[modality]):
          yield (query, key, side, axis), _SIDE
      if {query, key} == {Modality.VISUAL, Modality.AUDIO}:
        yield (query, key, 'clock', 0), 2 * _SIDE


@functools.cache
def table_rows() -> tuple[dict[tuple[Any, ...], int], int]:
  """First row of each block of the table, and the number of rows."""
  starts: dict[tuple[Any, ...], int] = {}
  row = 0
  for name, size in _blocks():
    starts[name] = row
    row += size
  return starts, row


@dataclasses.dataclass(frozen=True)
class _Group:
  """The positions that hold one feature, or the special tokens.

  Attributes:
    modality: modality of all of them.
    places_LA: int (L, axes), each position's place on each axis; -1 elsewhere.
    ends: end of each latent frame in seconds, by its number.
    first: first column of the group, which counts its positions.
  """

  modality: Modality
  places_LA: np.ndarray
  ends: dict[int, float]
  first: int

  @property
  def sizes(self) -> tuple[int, ...]:
    """Number of places of each axis."""
    return tuple(int(size) + 1 for size in self.places_LA.max(axis=0))

  def columns(self, axis: int) -> slice:
    start = self.first + 1 + sum(self.sizes[:axis])
    return slice(start, start + self.sizes[axis])

  @property
  def stop(self) -> int:
    """Column after the group's last."""
    return self.first + 1 + sum(self.sizes)

  def times(self) -> np.ndarray:
    """Float (latent frames,): their ends; NaN for those not in the layout."""
    return np.array([self.ends.get(i, np.nan) for i in range(self.sizes[0])])


def _groups(layout: layout_lib.SequenceLayout) -> list[_Group]:
  segments: dict[str, list[tuple[int, layout_lib.Segment]]] = {}
  for order, segment in enumerate(layout.segments):
    segments.setdefault(segment.feature, []).append((order, segment))
  groups: list[_Group] = []
  for members in segments.values():
    modality = members[0][1].modality
    places_LA = np.full((layout.length, _AXES[modality]), -1, np.int32)
    ends: dict[int, float] = {}
    for order, segment in members:
      part = layout.slices[segment.name]
      if modality is Modality.SPECIAL:
        places_LA[part] = order
      else:
        places_LA[part] = layout.coordinates_L3[part, : _AXES[modality]]
      ends |= {segment.start + i: end for i, end in enumerate(segment.ends)}
    first = groups[-1].stop if groups else 0
    groups.append(_Group(modality, places_LA, ends, first))
  return groups


def _clock(query: _Group, key: _Group) -> np.ndarray | None:
  """Offsets of a clip's and a sound's latent frames, in frames of the sound.

  Returns:
    int (latent frames of the query, of the key), or None unless one is visual,
    the other audio, and the ends of their latent frames are known.
  """
  if {query.modality, key.modality} != {Modality.VISUAL, Modality.AUDIO}:
    return None
  sound = query if query.modality is Modality.AUDIO else key
  if not query.ends or not key.ends:
    return None
  number, end = next(iter(sound.ends.items()))
  seconds = end / (number + 1)
  offsets = (key.times()[None, :] - query.times()[:, None]) / seconds
  return np.nan_to_num(np.round(offsets)).astype(np.int64)


@functools.lru_cache(maxsize=64)
def pairs(
  layout: layout_lib.SequenceLayout,
) -> tuple[np.ndarray, np.ndarray]:
  """The places of a layout's positions, and the table's row for each pair.

  The bias of a query and a key is the sum, over the columns that are set for
  either, of the rows that the pair of columns names. Within one modality these
  are the offsets along each axis, of one feature or of two different ones.
  Clips and sounds share a time axis; otherwise a query of another modality uses
  the key's place and its own.

  Args:
    layout: layout of the sequence.

  Returns:
    bool (L, columns), and int32 (columns, columns), query by key: rows of the
    table, -1 where there is none.
  """
  groups, (starts, _) = _groups(layout), table_rows()
  columns = groups[-1].stop
  holds_LF = np.zeros((layout.length, columns), bool)
  for group in groups:
    holds_LF[:, group.first] = group.places_LA[:, 0] >= 0
    for axis, size in enumerate(group.sizes):
      holds_LF[:, group.columns(axis)] = group.places_LA[
        :, axis, None
      ] == np.arange(size)
  rows_FF = np.full((columns, columns), -1, np.int32)
  for query in groups:
    for key in groups:
      kinds = query.modality, key.modality
      if kinds[0] is kinds[1]:
        relation = 'own' if query is key else 'other'
        for axis, (here, there) in enumerate(zip(query.sizes, key.sizes)):
          offsets = np.arange(there)[None, :] - np.arange(here)[:, None]
          rows_FF[query.columns(axis), key.columns(axis)] = starts[
            kinds[0], relation, axis
          ] + _signed(offsets)
        continue
      clock = _clock(query, key)
      if clock is not None:
        rows_FF[query.columns(0), key.columns(0)] = starts[
          *kinds, 'clock', 0
        ] + _signed(clock)
      for side, group in (('query', query), ('key', key)):
        if group.modality is Modality.SPECIAL:
          continue  # A special token is identified by its id.
        for axis in range(0 if clock is None else 1, len(group.sizes)):
          rows = starts[*kinds, side, axis] + _places(
            np.arange(group.sizes[axis])
          )
          if side == 'query':
            rows_FF[query.columns(axis), key.first] = rows
          else:
            rows_FF[query.first, key.columns(axis)] = rows
  return holds_LF, rows_FF


class PlaceBias(nn.Module):
  """The bias that is added to attention logits, the same in every layer.

  It is computed by two products with the places of queries and keys, whose
  gradients are products too: no (L, L) array of indices exists, and nothing is
  scattered. The result itself is (heads, L, L).

  Attributes:
    num_heads: query heads.
    param_dtype: dtype that the table is stored in.
  """

  num_heads: int
  param_dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, layout: layout_lib.SequenceLayout) -> jax.Array:
    """Returns float32 or wider (heads, L, L), query by key."""
    table = partitioning.param(
      self,
      'table',
      nn.initializers.normal(0.02),
      (table_rows()[1], self.num_heads),
      (None, 'heads'),
      self.param_dtype,
    )
    table = table.astype(jnp.promote_types(table.dtype, jnp.float32))
    holds_LF, rows_FF = pairs(layout)
    places_LF = jnp.asarray(holds_LF, table.dtype)
    values_FFN = table[np.maximum(rows_FF, 0)]
    values_FFN = jnp.where((rows_FF >= 0)[..., None], values_FFN, 0)
    # Places are 0 and 1: at the highest precision the sum is exact.
    highest = jax.lax.Precision.HIGHEST
    by_query_NLF = jnp.einsum(
      'lf,fgn->nlg', places_LF, values_FFN, precision=highest
    )
    return jnp.einsum('nlg,mg->nlm', by_query_NLF, places_LF, precision=highest)
