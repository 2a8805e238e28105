"""Maps ids and places to vectors of the model's width.

Every modality has a table of its own (a slice of one big sharded table would
straddle shards). Visual ids may enter by their bits instead: a look-up-free
code *is* its bits, and few bits span all 2^18 codes.
"""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.layers import partitioning

Modality = types.Modality
MODALITIES = tuple(Modality)


def code_bits(codebook_size: int) -> int:
  """Bits of a code; the number of codes is a power of two."""
  return (codebook_size - 1).bit_length()


def num_bits(vocabulary: vocabulary_lib.Vocabulary) -> int:
  """Bits of a visual id."""
  return code_bits(vocabulary.visual_size)


def halves(bits: int) -> tuple[int, int]:
  """Bits of a code's first (high) and second (low) factor."""
  return bits - bits // 2, bits // 2


def factor_bits(vocabulary: vocabulary_lib.Vocabulary) -> tuple[int, int]:
  """Bits of a visual id's first (high) and second (low) factor."""
  return halves(num_bits(vocabulary))


def local_ids(
  tokens: jax.Array, vocabulary: vocabulary_lib.Vocabulary, modality: Modality
) -> jax.Array:
  """Maps global ids (...) to a modality's local ones; others are clipped."""
  admitted = vocabulary.ranges[modality]
  return jnp.clip(tokens - admitted.start, 0, admitted.size - 1)


def signs(local: jax.Array, bits: int) -> jax.Array:
  """Maps local visual ids (...) to the signs of their bits, -1 or 1."""
  shifts = jnp.arange(bits)
  shifts = partitioning.spread(shifts, local.ndim + 1)
  return ((local[..., None] >> shifts) & 1) * 2 - 1


def likelihoods(codes: jax.Array) -> jax.Array:
  """Maps means of independent bits to the probabilities of all codes.

  Args:
    codes: float (..., bits), from -1 to 1, lowest bit first.

  Returns:
    (..., 2^bits); they sum to 1.
  """
  chances = jnp.ones((*codes.shape[:-1], 1), codes.dtype)
  for bit in range(codes.shape[-1]):
    one = 0.5 * (1 + codes[..., bit : bit + 1])
    chances = jnp.concatenate([chances * (1 - one), chances * one], axis=-1)
  return chances


@dataclasses.dataclass(frozen=True)
class EmbeddingConfig:
  """Configuration of the embedding.

  Attributes:
    vocabulary: the unified vocabulary.
    width: width of the model.
    visual_input: 'table' or 'bits'.
    text: 'tokens' (a table) or 'embeddings' (a projection of given vectors).
    text_embedding_dim: width of the given text embeddings (2,048 for T5 XL).
    dtype: dtype of the result.
    param_dtype: dtype that tables are stored in.
  """

  vocabulary: vocabulary_lib.Vocabulary
  width: int
  visual_input: str = 'table'
  text: str = 'tokens'
  text_embedding_dim: int = 2048
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32


class TokenEmbedding(nn.Module):
  """Maps global ids to vectors, with one table a modality.

  Attributes:
    config: sizes and kinds of inputs.
  """

  config: EmbeddingConfig

  def setup(self) -> None:
    config = self.config
    sizes = dict(config.vocabulary.table_sizes)
    if config.visual_input == 'bits':
      del sizes[Modality.VISUAL]
      self.bits = VisualBits(
        num_bits(config.vocabulary),
        config.width,
        config.dtype,
        config.param_dtype,
        name='visual_bits',
      )
    if config.text == 'embeddings':
      del sizes[Modality.TEXT]
      self.text_projection = partitioning.param(
        self,
        'text_projection',
        partitioning.fan_in_init((0,), (1,)),
        (config.text_embedding_dim, config.width),
        (None, 'embed'),
        config.param_dtype,
      )
    self.tables = {
      modality.value: partitioning.param(
        self,
        f'{modality.value}_table',
        nn.initializers.normal(1.0),
        (size, config.width),
        ('vocab', 'embed'),
        config.param_dtype,
      )
      for modality, size in sizes.items()
    }

  def __call__(self, tokens: jax.Array, modality: Modality) -> jax.Array:
    """Embeds ids of one modality.

    Args:
      tokens: int32 (...), global ids; those outside the modality's range give
        an arbitrary vector.
      modality: modality of the ids.

    Returns:
      (..., width).
    """
    local = local_ids(tokens, self.config.vocabulary, modality)
    if modality is Modality.VISUAL and self.config.visual_input == 'bits':
      return self.bits(local)
    table = self.tables[modality.value]
    return jnp.take(table, local, axis=0).astype(self.config.dtype)

  def project_text(self, embeddings_BSE: jax.Array) -> jax.Array:
    """Projects text embeddings (B, S, text_embedding_dim) to (B, S, width)."""
    dtype = self.config.dtype
    return jnp.einsum(
      'bse,ed->bsd',
      embeddings_BSE.astype(dtype),
      self.text_projection.astype(dtype),
    )


class VisualBits(nn.Module):
  """An embedding linear in an id's bits, plus a small table for each half.

  The tables hold 2^(bits / 2) rows each (512 for 18 bits), so that combinations
  of bits within a half count too. For uncertain bits the result is the expected
  vector over all ids, with independent bits.

  Attributes:
    bits: bits of an id.
    width: width of the model.
    dtype: dtype of the result.
    param_dtype: dtype that tables are stored in.
  """

  bits: int
  width: int
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  def setup(self) -> None:
    def declare(name: str, rows: int, init: Any) -> jax.Array:
      shape, axes = (rows, self.width), (None, 'embed')
      return partitioning.param(self, name, init, shape, axes, self.param_dtype)

    high, low = halves(self.bits)
    rows = nn.initializers.normal(0.5)
    self.kernel = declare(
      'kernel', self.bits, partitioning.fan_in_init((0,), (1,))
    )
    self.high_table = declare('high_table', 2**high, rows)
    self.low_table = declare('low_table', 2**low, rows)

  def __call__(self, local: jax.Array) -> jax.Array:
    """Maps local visual ids (...) to (..., width)."""
    low = halves(self.bits)[1]
    bit_signs = signs(local, self.bits).astype(self.dtype)
    total = bit_signs @ self.kernel.astype(self.dtype)
    for table, part in (
      (self.high_table, local >> low),
      (self.low_table, local & (2**low - 1)),
    ):
      total += jnp.take(table, part, axis=0).astype(self.dtype)
    return total

  def expected(self, codes: jax.Array) -> jax.Array:
    """Maps means of bits, float (..., bits) in [-1, 1], to (..., width)."""
    low = halves(self.bits)[1]
    total = codes.astype(self.dtype) @ self.kernel.astype(self.dtype)
    for table, part in (
      (self.high_table, codes[..., low:]),
      (self.low_table, codes[..., :low]),
    ):
      total += likelihoods(part).astype(self.dtype) @ table.astype(self.dtype)
    return total


@dataclasses.dataclass(frozen=True)
class PlaceLimits:
  """The largest coordinates that learned positions have rows for.

  Attributes:
    visual: latent frames, rows and columns.
    audio: latent frames and levels.
    text: slots.
    features: number of features that segments may hold, those of the tokens and
      of users' tasks together (`LayoutSpace.features`). 0 leaves identities
      out: checkpoints from before they existed have none.
  """

  visual: tuple[int, int, int] = (16, 32, 32)
  audio: tuple[int, int] = (256, 8)
  text: int = 64
  features: int = 16

  def __post_init__(self) -> None:
    errors.check_range(self, 'visual', 'audio', 'text', least=1)

  def of(self, modality: Modality) -> tuple[int, ...]:
    if modality is Modality.VISUAL:
      return tuple(self.visual)
    if modality is Modality.AUDIO:
      return tuple(self.audio)
    return (self.text,) if modality is Modality.TEXT else ()

  def rows(self, learned: bool) -> dict[tuple[Any, ...], int]:
    """First row of each block of a table, in order.

    Args:
      learned: whether coordinates have rows.

    Returns:
      Rows by their meaning: `('roles',)`, two of each modality; a modality and
      axis, one of each place; `('features',)`, one of each identity;
      `('end',)`, the number of all rows.
    """
    blocks: dict[tuple[Any, ...], int] = {('roles',): 2 * len(MODALITIES)}
    for modality in MODALITIES if learned else ():
      for axis, size in enumerate(self.of(modality)):
        blocks[modality.value, axis] = size
    blocks['features',] = self.features
    starts: dict[tuple[Any, ...], int] = {}
    row = 0
    for name, size in blocks.items():
      starts[name] = row
      row += size
    return {**starts, ('end',): row}

  def misfit(
    self, layout: layout_lib.SequenceLayout, learned: bool = True
  ) -> str:
    """Describes the first segment out of range, or returns ''.

    Args:
      layout: layout whose segments are checked.
      learned: whether coordinates need rows, or identities alone.
    """
    for segment in layout.filled() if self.features else ():
      if segment.identity >= self.features:
        return (
          f'segment {segment.name!r} holds feature number '
          f'{segment.identity + 1}, and PlaceLimits.features is '
          f'{self.features}'
        )
    for segment in layout.filled() if learned else ():
      limits = self.of(segment.modality)
      positions = layout.slices[segment.name]
      largest = layout.coordinates_L3[positions].max(axis=0)[: len(limits)]
      if any(place >= limit for place, limit in zip(largest, limits)):
        return (
          f'segment {segment.name!r} reaches '
          f'{tuple(int(p) + 1 for p in largest)}, the limits of '
          f'{segment.modality.value} positions are {limits}'
        )
    return ''


class PlaceEmbedding(nn.Module):
  """Embeds the positions of a layout: content, role and place.

  The content of a position is its modality and its segment's feature, so that
  two conditions of one modality differ.

  Attributes:
    width: width of the model.
    limits: rows of the tables.
    learned: whether coordinates count, or only modality and role.
    dtype: dtype of the result.
    param_dtype: dtype that tables are stored in.
  """

  width: int
  limits: PlaceLimits
  learned: bool = True
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, layout: layout_lib.SequenceLayout) -> jax.Array:
    """Returns (L, width): the vector of each position."""
    # One table for all modalities and axes, so that all layouts share it.
    starts = self.limits.rows(self.learned)
    table = partitioning.param(
      self,
      'table',
      nn.initializers.normal(0.5),
      (starts['end',], self.width),
      (None, 'embed'),
      self.param_dtype,
    ).astype(self.dtype)
    # Row of each position on each axis; those without an axis take row 0's
    # weight of zero.
    columns = 5 if self.limits.features else 4
    rows_LA = np.zeros((layout.length, columns), np.int32)
    counts_LA = np.zeros((layout.length, columns), np.float32)
    for segment in layout.segments:
      part = layout.slices[segment.name]
      is_target = segment.role is types.Role.TARGET
      rows_LA[part, 0] = 2 * MODALITIES.index(segment.modality) + is_target
      counts_LA[part, 0] = 1.0
      for axis in range(3):
        if (segment.modality.value, axis) in starts:
          place = layout.coordinates_L3[part, axis]
          rows_LA[part, 1 + axis] = starts[segment.modality.value, axis] + place
          counts_LA[part, 1 + axis] = 1.0
      if self.limits.features and segment.identity >= 0:
        rows_LA[part, 4] = starts['features',] + segment.identity
        counts_LA[part, 4] = 1.0
    return jnp.einsum(
      'lad,la->ld', table[rows_LA], jnp.asarray(counts_LA, self.dtype)
    )
