"""The prefix language model: layouts in, losses or hidden states out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.layers import attention
from videopoet_jax.layers import cell_inputs
from videopoet_jax.layers import embeddings
from videopoet_jax.layers import kv_cache
from videopoet_jax.layers import masks
from videopoet_jax.layers import norms
from videopoet_jax.layers import partitioning
from videopoet_jax.layers import place_bias
from videopoet_jax.layers import positions
from videopoet_jax.layers import transformer
from videopoet_jax.losses import cross_entropy
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import heads as heads_lib
from videopoet_jax.parallel import manual

Modality = types.Modality


class Places(NamedTuple):
  """Inputs of every position that follow from the layout.

  Attributes:
    embedding_LD: embeddings that are added to those of the tokens.
    angles_LP: rotary angles, or None.
    bias_NLL: relative bias, or None.
    sources: int32 (L, slots) positions of the tokens to take, by cell input.
  """

  embedding_LD: jax.Array
  angles_LP: jax.Array | None
  bias_NLL: jax.Array | None
  sources: Mapping[str, jax.Array]


class PrefixLM(nn.Module):
  """Decoder-only transformer over the sequence of a layout.

  Attributes:
    config: sizes and choices.
    vocabulary: the unified vocabulary.
  """

  config: config_lib.PrefixLMConfig
  vocabulary: vocabulary_lib.Vocabulary

  @property
  def types(self) -> dict[str, Any]:
    """Keyword arguments that every submodule takes."""
    return {
      'dtype': jnp.dtype(self.config.dtype),
      'param_dtype': jnp.dtype(self.config.param_dtype),
    }

  def block_config(self, num_layers: int) -> transformer.BlockConfig:
    """Sizes of one block of a stack of `num_layers`."""
    config = self.config
    return transformer.BlockConfig(
      num_heads=config.num_heads,
      num_kv_heads=config.num_kv_heads,
      head_dim=config.head_dim,
      mlp_dim=config.mlp_dim,
      num_layers=num_layers,
      activation=config.activation,
      qk_norm=config.qk_norm,
      attention=config.attention,
      **self.types,
    )

  def setup(self) -> None:
    config = self.config
    self.embedding = embeddings.TokenEmbedding(
      embeddings.EmbeddingConfig(
        vocabulary=self.vocabulary,
        width=config.width,
        visual_input=config.visual_input,
        text=config.text,
        text_embedding_dim=config.text_embedding_dim,
        **self.types,
      )
    )
    learned = config.positions == 'learned_3d'

    def place(learned: bool) -> embeddings.PlaceEmbedding:
      return embeddings.PlaceEmbedding(
        config.width, config.place_limits, learned, **self.types
      )

    self.place = place(learned)
    if learned and config.lookahead:
      self.next_place = place(True)
    if config.positions == 't5_buckets':
      self.relative_bias = place_bias.PlaceBias(
        config.num_heads, self.types['param_dtype']
      )
    if config.positions == 't5_sequence':
      self.relative_bias = positions.RelativeBias(
        config.num_heads, param_dtype=self.types['param_dtype']
      )
    if config.text_encoder_layers:
      self.text_encoder = transformer.Stack(
        self.block_config(config.text_encoder_layers), scan=False
      )
    if config.cell_inputs:
      self.cell_inputs = cell_inputs.CellInputs(
        config.cell_inputs,
        self.vocabulary,
        config.width,
        config.cell_hidden,
        config.visual_input == 'bits',
        **self.types,
      )
    self.stack = transformer.Stack(
      self.block_config(config.num_layers), config.scan_layers, config.remat
    )
    self.final_norm = norms.RMSNorm(**self.types)
    self.heads = heads_lib.Heads(config, self.vocabulary, **self.types)

  def places(self, layout: layout_lib.SequenceLayout) -> Places:
    """Computes the inputs that follow from the layout.

    Raises:
      ConfigError: the model cannot read the layout, see `PrefixLMConfig.check`.
    """
    config = self.config
    config.check(self.vocabulary, (layout,))
    place_LD = self.place(layout)
    if config.positions == 'learned_3d' and config.lookahead:
      next_LD = self.next_place(layout)
      place_LD = place_LD + jnp.roll(next_LD, -1, axis=0)
    angles_LP, bias_NLL = None, None
    if config.positions == 'rotary':
      angles_LP = jnp.asarray(
        positions.rotary_angles(layout.coordinates_L3, config.head_dim)
      )
    if config.positions == 't5_buckets':
      bias_NLL = self.relative_bias(layout)
    if config.positions == 't5_sequence':
      bias_NLL = self.relative_bias(layout.length)
    sources = {}
    if config.cell_inputs:
      found = self.cell_inputs.sources(layout)
      sources = {name: jnp.asarray(found[name]) for name in found}
    return Places(place_LD, angles_LP, bias_NLL, sources)

  def _embed(
    self,
    tokens_BL: jax.Array,
    visible_BL: jax.Array,
    layout: layout_lib.SequenceLayout,
    places: Places,
    length: int,
    text_embeddings_BSE: jax.Array | None,
  ) -> jax.Array:
    """Embeds the first positions, (B, length, D)."""
    pieces = []
    for segment in layout.segments:
      part = layout.slices[segment.name]
      if part.start >= length:
        break
      tokens = tokens_BL[:, part.start : min(part.stop, length)]
      is_text = segment.modality is Modality.TEXT
      if is_text and self.config.text == 'embeddings':
        assert text_embeddings_BSE is not None
        chex.assert_shape(text_embeddings_BSE, (*tokens.shape, None))
        vectors = self.embedding.project_text(text_embeddings_BSE)
      else:
        vectors = self.embedding(tokens, segment.modality)
      vectors += places.embedding_LD[
        None, part.start : part.start + tokens.shape[1]
      ]
      if is_text and self.config.text_encoder_layers:
        context = attention.Context(masks.BIDIRECTIONAL, visible_BL[:, part])
        vectors, _ = self.text_encoder(vectors, context)
      pieces.append(vectors)
    stream_BLD = jnp.concatenate(pieces, axis=1)
    if places.sources:
      sources = {name: s_LK[:length] for name, s_LK in places.sources.items()}
      stream_BLD += self.cell_inputs(tokens_BL, visible_BL, sources)
    # Not sharded along the sequence yet: the gradient of a lookup of a few
    # sharded
    # positions in sharded rows comes out wrong (XLA, seen with jax 0.12).
    return partitioning.constrain(
      stream_BLD, ('activation_batch', None, 'activation_embed')
    )

  def _run(
    self,
    tokens_BL: jax.Array,
    visible_BL: jax.Array,
    layout: layout_lib.SequenceLayout,
    length: int,
    text_embeddings_BSE: jax.Array | None,
    keep: bool = False,
  ) -> tuple[jax.Array, list[kv_cache.LayerCache]]:
    """Runs the blocks: (B, length, D), and the caches if `keep`."""
    chex.assert_shape([tokens_BL, visible_BL], (None, layout.length))
    chex.assert_equal_shape([tokens_BL, visible_BL])
    places = self.places(layout)
    stream_BLD = self._embed(
      tokens_BL, visible_BL, layout, places, length, text_embeddings_BSE
    )
    angles_LP, bias_NLL = places.angles_LP, places.bias_NLL
    # A mesh that splits the sequence needs equal parts. The padding at the end
    # is
    # hidden and does not affect earlier positions.
    room = -length % manual.parts('activation_length')

    def pad(array: jax.Array, *axes: int) -> jax.Array:
      widths = [(0, room if axis in axes else 0) for axis in range(array.ndim)]
      return jnp.pad(array, widths) if room else array

    context = attention.Context(
      masks.PrefixMask(layout.prefix_length),
      pad(visible_BL[:, :length], 1),
      None if angles_LP is None else pad(angles_LP[:length], 0),
      None if bias_NLL is None else pad(bias_NLL[:, :length, :length], 1, 2),
    )
    stream_BLD = partitioning.constrain(
      pad(stream_BLD, 1),
      ('activation_batch', 'activation_length', 'activation_embed'),
    )
    stream_BLD, caches = self.stack(stream_BLD, context, keep)
    if room:
      stream_BLD = stream_BLD[:, :length]
      caches = jax.tree.map(lambda leaf: leaf[:, :, :length], caches)
    return stream_BLD, caches

  def hidden(
    self,
    tokens_BL: jax.Array,
    visible_BL: jax.Array,
    layout: layout_lib.SequenceLayout,
    text_embeddings_BSE: jax.Array | None = None,
  ) -> jax.Array:
    """Runs the model over the target, with every earlier token given.

    Args:
      tokens_BL: int32 (B, L) global ids.
      visible_BL: bool (B, L), False for positions that are hidden.
      layout: layout of the sequences.
      text_embeddings_BSE: (B, text slots, text_embedding_dim), with
        `text='embeddings'`.

    Returns:
      (B, target_length, D), normalized; entry i predicts position
      `prefix_length + i`.
    """
    stream_BLD, _ = self._run(
      tokens_BL, visible_BL, layout, layout.input_length, text_embeddings_BSE
    )
    return self.final_norm(stream_BLD[:, layout.prefix_length - 1 :])

  def losses(
    self,
    tokens_BL: jax.Array,
    visible_BL: jax.Array,
    layout: layout_lib.SequenceLayout,
    text_embeddings_BSE: jax.Array | None = None,
    read_BL: jax.Array | None = None,
  ) -> dict[layout_lib.Run, cross_entropy.Result]:
    """Returns the loss of every run that carries one.

    Args:
      tokens_BL: labels, as for `hidden`.
      visible_BL: as for `hidden`.
      layout: as for `hidden`.
      text_embeddings_BSE: as for `hidden`.
      read_BL: tokens that are read instead of `tokens_BL`, if given.

    Returns:
      Arrays of (B, run's positions), by run.
    """
    if read_BL is None:
      read_BL = tokens_BL
    chex.assert_equal_shape([tokens_BL, read_BL])
    hidden_BTD = self.hidden(
      read_BL,
      visible_BL,
      layout,
      text_embeddings_BSE,
    )
    results = {}
    for run in heads_lib.predicted(self.config, layout):
      part = slice(
        run.start - layout.prefix_length, run.stop - layout.prefix_length
      )
      results[run] = self.heads.loss(
        hidden_BTD[:, part], tokens_BL[:, run.start : run.stop], run
      )
    return results

  __call__ = losses

  def prefill(
    self,
    tokens_BL: jax.Array,
    visible_BL: jax.Array,
    layout: layout_lib.SequenceLayout,
    text_embeddings_BSE: jax.Array | None = None,
  ) -> tuple[jax.Array, list[kv_cache.LayerCache]]:
    """Runs the prefix; arguments as for `hidden`.

    Returns:
      (B, D) normalized, which predicts the first target position, and each
      layer's keys and values of the prefix.
    """
    stream_BPD, caches = self._run(
      tokens_BL,
      visible_BL,
      layout,
      layout.prefix_length,
      text_embeddings_BSE,
      keep=True,
    )
    return self.final_norm(stream_BPD[:, -1]), caches

  def embed_position(
    self,
    tokens_BL: jax.Array,
    visible_BL: jax.Array,
    layout: layout_lib.SequenceLayout,
    places: Places,
    position: jax.Array,
  ) -> jax.Array:
    """Embeds one target position, which may be traced: (B, 1, D)."""
    tokens_B1 = jax.lax.dynamic_slice_in_dim(tokens_BL, position, 1, axis=1)
    kinds_L = jnp.asarray(layout.modality_L)
    first, *others = sorted(
      set(layout.modality_L[layout.prefix_length :].tolist())
    )
    vectors_B1D = self.embedding(tokens_B1, embeddings.MODALITIES[first])
    for kind in others:
      found_B1D = self.embedding(tokens_B1, embeddings.MODALITIES[kind])
      vectors_B1D = jnp.where(kinds_L[position] == kind, found_B1D, vectors_B1D)
    vectors_B1D += jax.lax.dynamic_slice_in_dim(
      places.embedding_LD, position, 1
    )[None]
    if places.sources:
      sources = {
        name: jax.lax.dynamic_slice_in_dim(source_LK, position, 1)
        for name, source_LK in places.sources.items()
      }
      vectors_B1D += self.cell_inputs(tokens_BL, visible_BL, sources)
    return vectors_B1D

  def normalize(self, stream: jax.Array) -> jax.Array:
    """Applies the final norm, before the heads."""
    return self.final_norm(stream)

  def logits(self, hidden_ND: jax.Array, run: layout_lib.Run) -> jax.Array:
    """See `Heads.logits`."""
    return self.heads.logits(hidden_ND, run)

  def first_factor(self, hidden_ND: jax.Array) -> jax.Array:
    """See `Heads.first_factor`."""
    return self.heads.first_factor(hidden_ND)

  def second_factor(
    self, hidden_ND: jax.Array, first_N: jax.Array
  ) -> jax.Array:
    """See `Heads.second_factor`."""
    return self.heads.second_factor(hidden_ND, first_N)

  def declare(self) -> jax.Array:
    """Touches every parameter once, whatever layouts a run has.

    Use it as `init`'s method: one layout alone uses only some parameters, and
    all layouts share one tree.
    """
    config = self.config
    zeros_11 = jnp.zeros((1, 1), jnp.int32)
    visible_11 = jnp.ones((1, 1), bool)
    total = jnp.zeros((1, 1, config.width), self.types['dtype'])
    for modality in Modality:
      if modality is not Modality.TEXT or config.text == 'tokens':
        total += self.embedding(zeros_11, modality)
    if config.text == 'embeddings':
      total += self.embedding.project_text(
        jnp.zeros((1, 1, config.text_embedding_dim))
      )
    layout = layout_lib.SequenceLayout(
      'none',
      (
        layout_lib.Segment(
          'first', Modality.SPECIAL, types.Role.PREFIX, (1,), token='<bos>'
        ),
        layout_lib.Segment(
          'second', Modality.SPECIAL, types.Role.TARGET, (1,), token='<eos>'
        ),
      ),
      self.vocabulary,
    )
    self.places(layout)
    if config.cell_inputs:
      total += self.cell_inputs(zeros_11, visible_11, {})
    context = attention.Context(masks.BIDIRECTIONAL, visible_11)
    if config.text_encoder_layers:
      total, _ = self.text_encoder(total, context)
    total, _ = self.stack(total, context)
    hidden_1D = self.final_norm(total)[0]
    self.heads.touch(hidden_1D)
    return hidden_1D
