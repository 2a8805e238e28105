"""Predicts ids from hidden states, limited to those that a layout admits."""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.layers import embeddings
from videopoet_jax.layers import partitioning
from videopoet_jax.losses import cross_entropy
from videopoet_jax.models import factor_head
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.parallel import manual

Modality = types.Modality


def predicted(
  config: config_lib.PrefixLMConfig, layout: layout_lib.SequenceLayout
) -> tuple[layout_lib.Run, ...]:
  """Returns the runs that carry loss and are sampled.

  Delimiters admit one id, so with a loss over the segment's ids there is
  nothing to predict, and they are left out.
  """
  if config.loss_vocabulary == 'full':
    return layout.target_runs
  return tuple(run for run in layout.target_runs if run.range.size > 1)


class Heads(nn.Module):
  """The unembedding: a table a modality, or two factors of visual ids.

  Attributes:
    config: config of the model.
    vocabulary: the unified vocabulary.
    dtype: dtype of the computation.
    param_dtype: dtype that tables are stored in.
  """

  config: config_lib.PrefixLMConfig
  vocabulary: vocabulary_lib.Vocabulary
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  def setup(self) -> None:
    sizes = dict(self.vocabulary.table_sizes)
    if self.config.visual_output == 'factors':
      del sizes[Modality.VISUAL]
      self.factors = factor_head.FactorHead(
        *embeddings.factor_bits(self.vocabulary),
        width=self.config.width,
        soft_cap=self.config.soft_cap,
        dtype=self.dtype,
        param_dtype=self.param_dtype,
      )
    if self.config.loss_vocabulary == 'segment':
      # Never predicted: special ids are given, text is a condition only.
      del sizes[Modality.SPECIAL], sizes[Modality.TEXT]
    self.tables = {
      modality.value: partitioning.param(
        self,
        f'{modality.value}_table',
        partitioning.fan_in_init((1,), (0,)),
        (size, self.config.width),
        ('output_vocab', 'output_embed'),
        self.param_dtype,
      )
      for modality, size in sizes.items()
    }

  def is_factored(self, run: layout_lib.Run) -> bool:
    """Whether a run's ids are predicted as two factors."""
    return (
      self.config.visual_output == 'factors'
      and run.range.modality is Modality.VISUAL
    )

  def run_table(self, run: layout_lib.Run) -> cross_entropy.Table:
    """The rows that a run admits."""
    rows, offset = self.tables[run.range.modality.value], run.range.table_offset
    whole = self.vocabulary.ranges[run.range.modality]
    if run.range.size == whole.size:
      return cross_entropy.Table(rows, run.range.start, run.range.size)
    if manual.parts('output_vocab') > 1:
      # A slice of sharded rows would have to be gathered.
      return cross_entropy.Table(rows, run.range.start, run.range.size, offset)
    part = rows[offset : offset + run.range.size]
    return cross_entropy.Table(part, run.range.start, run.range.size)

  def all_tables(self) -> Sequence[cross_entropy.Table]:
    """The rows of all ids."""
    return [
      cross_entropy.Table(self.tables[m.value], r.start, r.size)
      for m, r in self.vocabulary.ranges.items()
    ]

  def _chunk_size(self, batch: int) -> int:
    """Positions of each sequence in a chunk of the loss; 0 for all."""
    if not self.config.loss_chunk:
      return 0
    examples = max(1, batch // manual.parts('activation_batch'))
    return max(1, self.config.loss_chunk // examples)

  def loss(
    self, hidden_BTD: jax.Array, labels_BT: jax.Array, run: layout_lib.Run
  ) -> cross_entropy.Result:
    """Returns the loss of a run's positions.

    Args:
      hidden_BTD: normalized hidden states, of the position before each label.
      labels_BT: int32 global ids.
      run: run of the labels, with the ids that it admits.
    """
    options: dict[str, Any] = {
      'soft_cap': self.config.soft_cap,
      'chunk_size': self._chunk_size(hidden_BTD.shape[0]),
    }
    if self.is_factored(run):
      return self.factors.loss(
        hidden_BTD, labels_BT - run.range.start, **options
      )
    if self.config.loss_vocabulary == 'full':
      tables = self.all_tables()
    else:
      tables = [self.run_table(run)]
    return cross_entropy.cross_entropy(
      hidden_BTD, labels_BT, tables, split_vocabulary=True, **options
    )

  def logits(self, hidden_ND: jax.Array, run: layout_lib.Run) -> jax.Array:
    """Logits of the ids that a run admits, float32 (N, run.range.size)."""
    table = self.run_table(run)
    logits_NV = cross_entropy.table_logits(
      hidden_ND, table, self.config.soft_cap
    )
    return logits_NV[:, table.first : table.first + run.range.size]

  def touch(self, hidden_1D: jax.Array) -> None:
    """Declares every parameter."""
    if self.config.visual_output == 'factors':
      self.factors.first(hidden_1D)

  def first_factor(self, hidden_ND: jax.Array) -> jax.Array:
    """Logits of a visual id's high bits, float32 (N, first factors)."""
    return self.factors.first(hidden_ND)

  def second_factor(
    self, hidden_ND: jax.Array, first_N: jax.Array
  ) -> jax.Array:
    """Logits of the low bits given the high, float32 (N, second factors)."""
    return self.factors.second(hidden_ND, first_N)
