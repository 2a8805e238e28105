"""Tokens near the predicted cell, as an additional input of the model."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.layers import embeddings
from videopoet_jax.layers import linear
from videopoet_jax.layers import neighborhood
from videopoet_jax.layers import partitioning

Modality = types.Modality

# Width of a token's features where it has no bits.
_TABLE_WIDTH = 32


class CellInputs(nn.Module):
  """One hidden layer over the tokens that `cells.SOURCES` name.

  Visual tokens enter by their bits, or by a narrow table with `bits=False`;
  audio tokens enter by a narrow table. A missing token is zero.

  Attributes:
    names: keys of `cells.SOURCES`.
    vocabulary: the unified vocabulary.
    width: width of the model.
    hidden: width of the hidden layer.
    bits: whether visual ids have bits.
    dtype: dtype of the computation.
    param_dtype: dtype that parameters are stored in.
  """

  names: tuple[str, ...]
  vocabulary: vocabulary_lib.Vocabulary
  width: int
  hidden: int
  bits: bool = True
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  def _has_bits(self, modality: Modality) -> bool:
    return self.bits and modality is Modality.VISUAL

  def _features(self, modality: Modality) -> int:
    if self._has_bits(modality):
      return embeddings.num_bits(self.vocabulary)
    return _TABLE_WIDTH

  def setup(self) -> None:
    used = {neighborhood.SOURCES[name].modality for name in self.names}
    self.tables = {
      modality.value: partitioning.param(
        self,
        f'{modality.value}_table',
        nn.initializers.normal(1.0),
        (self.vocabulary.table_sizes[modality], _TABLE_WIDTH),
        ('vocab', None),
        self.param_dtype,
      )
      for modality in sorted(used, key=lambda m: m.value)
      if not self._has_bits(modality)
    }
    kernels = {}
    for name in self.names:
      source = neighborhood.SOURCES[name]
      features = self._features(source.modality)
      slots = source.slots(self.vocabulary.audio_levels)
      kernels[name] = partitioning.param(
        self,
        f'{name}_kernel',
        partitioning.fan_in_init((0,), (1,)),
        (slots * features, self.hidden),
        ('cell_features', 'mlp'),
        self.param_dtype,
      )
    self.kernels = kernels
    self.out = partitioning.param(
      self,
      'out',
      partitioning.fan_in_init((0,), (1,)),
      (self.hidden, self.width),
      ('mlp', 'embed'),
      self.param_dtype,
    )

  def sources(self, layout: layout_lib.SequenceLayout) -> dict[str, np.ndarray]:
    """int32 (L, slots) by name, for the names that occur in the layout."""
    found = {n: neighborhood.SOURCES[n].find(layout) for n in self.names}
    return {
      n: source_LK for n, source_LK in found.items() if source_LK.max() >= 0
    }

  def _read(
    self, tokens: jax.Array, seen: jax.Array, modality: Modality
  ) -> jax.Array:
    """Maps global ids (..., slots) to (..., slots * features)."""
    local = embeddings.local_ids(tokens, self.vocabulary, modality)
    if self._has_bits(modality):
      features = embeddings.signs(
        local, embeddings.num_bits(self.vocabulary)
      ).astype(self.dtype)
    else:
      table = self.tables[modality.value]
      features = jnp.take(table, local, axis=0).astype(self.dtype)
    features = jnp.where(seen[..., None], features, 0)
    return features.reshape(*features.shape[:-2], -1)

  def __call__(
    self,
    tokens_BL: jax.Array,
    visible_BL: jax.Array,
    sources: dict[str, jax.Array],
  ) -> jax.Array:
    """Embeds the tokens that P positions read from elsewhere.

    Args:
      tokens_BL: int32 global ids of the whole sequence.
      visible_BL: bool, False for positions that are hidden.
      sources: int32 (P, slots) by name: rows of `self.sources`.

    Returns:
      (B, P, width).
    """
    hidden_BPH = jnp.zeros((1, 1, self.hidden), self.dtype)
    for name, source_PK in sources.items():
      at_PK = jnp.maximum(source_PK, 0)
      taken_BPK = jnp.take(tokens_BL, at_PK, axis=1)
      seen_BPK = jnp.take(visible_BL, at_PK, axis=1) & (source_PK >= 0)[None]
      read_BPF = self._read(
        taken_BPK, seen_BPK, neighborhood.SOURCES[name].modality
      )
      kernel = self.kernels[name].astype(self.dtype)
      hidden_BPH = hidden_BPH + linear.project(read_BPF, kernel)
    return linear.project(nn.silu(hidden_BPH), self.out.astype(self.dtype))
