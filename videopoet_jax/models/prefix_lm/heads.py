"""From hidden states to ids: only those that a layout admits, where asked."""

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
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.parallel import manual

Modality = types.Modality


def predicted(
  config: config_lib.PrefixLMConfig, layout: layout_lib.SequenceLayout
) -> tuple[layout_lib.Run, ...]:
  """The runs that carry loss and are sampled.

  Delimiters admit one id: predicting it among the admitted is no question, so
  with a loss over the segment's ids they are left out.
  """
  if config.loss_vocabulary == 'full':
    return layout.target_runs
  return tuple(run for run in layout.target_runs if run.range.size > 1)


class Heads(nn.Module):
  """The unembedding: a table a modality, or two factors of visual ids.

  Attributes:
    config: of the model.
    vocabulary: the unified vocabulary.
    dtype: what is computed in.
    param_dtype: what tables are stored in.
  """

  config: config_lib.PrefixLMConfig
  vocabulary: vocabulary_lib.Vocabulary
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  def setup(self) -> None:
    sizes = dict(self.vocabulary.table_sizes)
    if self.config.visual_output == 'factors':
      del sizes[Modality.VISUAL]
      self.factors = FactorHead(
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
      # A slice of split rows would have to be gathered.
      return cross_entropy.Table(rows, run.range.start, run.range.size, offset)
    part = rows[offset : offset + run.range.size]
    return cross_entropy.Table(part, run.range.start, run.range.size)

  def all_tables(self) -> Sequence[cross_entropy.Table]:
    """Every id's row."""
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
    """Loss of a run's positions.

    Args:
      hidden_BTD: normalized hidden states, of the position before each label.
      labels_BT: int32 global ids.
      run: what they admit.
    """
    options = {
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
    """float32 (N, run.range.size): logits of what a run admits."""
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
    """float32 (N, first factors): logits of a visual id's high bits."""
    return self.factors.first(hidden_ND)

  def second_factor(
    self, hidden_ND: jax.Array, first_N: jax.Array
  ) -> jax.Array:
    """float32 (N, second factors): logits of the low bits given the high."""
    return self.factors.second(hidden_ND, first_N)


class FactorHead(nn.Module):
  """Two small softmaxes for one large one (MAGVIT-v2, token factorization).

  Attributes:
    high_bits: bits of the first factor.
    low_bits: bits of the second, which is given the first.
    width: of the hidden states.
    soft_cap: bound of the logits; 0 leaves them.
    dtype: what is computed in.
    param_dtype: what kernels are stored in.
  """

  high_bits: int
  low_bits: int
  width: int
  soft_cap: float = 0.0
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  def setup(self) -> None:
    def declare(
      name: str, shape: tuple[int, int], axes: tuple[str | None, ...], init: Any
    ) -> jax.Array:
      return partitioning.param(self, name, init, shape, axes, self.param_dtype)

    by_row = partitioning.fan_in_init((1,), (0,))
    rows = ('vocab', 'embed')
    high, low = 2**self.high_bits, 2**self.low_bits
    self.first_table = declare('first_table', (high, self.width), rows, by_row)
    self.second_table = declare('second_table', (low, self.width), rows, by_row)
    self.given_table = declare(
      'given_table', (high, self.width), rows, nn.initializers.normal(1.0)
    )
    self.mix = declare(
      'mix',
      (self.width, self.width),
      ('embed', 'mlp'),
      partitioning.fan_in_init((0,), (1,)),
    )

  def _tables(self) -> tuple[cross_entropy.Table, cross_entropy.Table]:
    return (
      cross_entropy.Table(self.first_table, 0, 2**self.high_bits),
      cross_entropy.Table(self.second_table, 0, 2**self.low_bits),
    )

  def _given(self, hidden: jax.Array, first: jax.Array) -> jax.Array:
    """Hidden states (..., width) that know the first factor (...)."""
    # Left to itself, XLA splits these in a way whose gradient is wrong on a
    # mesh of data, fsdp and tensor (seen with jax 0.12).
    between = (None,) * (hidden.ndim - 2)
    axes = ('activation_batch', *between, 'activation_embed')
    mixed = partitioning.constrain(hidden @ self.mix.astype(self.dtype), axes)
    given = partitioning.constrain(
      jnp.take(self.given_table, first, axis=0).astype(self.dtype), axes
    )
    # The residual path lets the second factor learn as fast as the first.
    return hidden + nn.silu(mixed + given)

  def first(self, hidden_ND: jax.Array) -> jax.Array:
    """float32 (N, 2^high_bits)."""
    return cross_entropy.table_logits(
      hidden_ND, self._tables()[0], self.soft_cap
    )

  def second(self, hidden_ND: jax.Array, first_N: jax.Array) -> jax.Array:
    """float32 (N, 2^low_bits)."""
    return cross_entropy.table_logits(
      self._given(hidden_ND, first_N), self._tables()[1], self.soft_cap
    )

  def loss(
    self, hidden_BTD: jax.Array, local_BT: jax.Array, **options: Any
  ) -> cross_entropy.Result:
    """Loss of local visual ids: the sum of both factors'."""
    first_BT = local_BT >> self.low_bits
    second_BT = local_BT & (2**self.low_bits - 1)
    first_table, second_table = self._tables()
    first = cross_entropy.cross_entropy(
      hidden_BTD, first_BT, [first_table], **options
    )
    second = cross_entropy.cross_entropy(
      self._given(hidden_BTD, first_BT), second_BT, [second_table], **options
    )
    return cross_entropy.Result(
      first.loss_BT + second.loss_BT,
      # One figure whose square is the sum of both squares.
      jnp.sqrt(
        jnp.square(first.log_z_BT) + jnp.square(second.log_z_BT) + 1e-12
      ),
      first.correct_BT & second.correct_BT,
    )
