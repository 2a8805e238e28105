"""Predicts visual ids as two factors, the second given the first."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.layers import partitioning
from videopoet_jax.losses import cross_entropy


class FactorHead(nn.Module):
  """Two small softmaxes instead of a large one (MAGVIT-v2 factorization).

  Attributes:
    high_bits: bits of the first factor.
    low_bits: bits of the second factor, which is given the first.
    width: width of the hidden states.
    soft_cap: bound of the logits; 0 leaves them.
    dtype: dtype of the computation.
    param_dtype: dtype that kernels are stored in.
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
    """Adds the first factor (...) to hidden states (..., width)."""
    # Without a constraint XLA splits these in a way whose gradient is wrong on
    # a
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
    """Logits of the first factor, float32 (N, 2^high_bits)."""
    return cross_entropy.table_logits(
      hidden_ND, self._tables()[0], self.soft_cap
    )

  def second(self, hidden_ND: jax.Array, first_N: jax.Array) -> jax.Array:
    """Logits of the second factor, float32 (N, 2^low_bits)."""
    return cross_entropy.table_logits(
      self._given(hidden_ND, first_N), self._tables()[1], self.soft_cap
    )

  def loss(
    self, hidden_BTD: jax.Array, local_BT: jax.Array, **options: Any
  ) -> cross_entropy.Result:
    """Loss of local visual ids: the sum of both factors' losses."""
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
      # One number whose square is the sum of both squares.
      jnp.sqrt(
        jnp.square(first.log_z_BT) + jnp.square(second.log_z_BT) + 1e-12
      ),
      first.correct_BT & second.correct_BT,
    )
