"""Attention masks: the prefix is bidirectional, the target causal.

The mask is a pair of numbers, not an array, so that fused kernels can take it
in their own form; `dense` expands it for the reference.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True)
class PrefixMask:
  """Attention of a prefix language model over part of a sequence.

  A pytree whose `prefix_length` is static, and so is a `query_start` given as a
  Python number: fused kernels need to know it inside a scan over layers too.

  Attributes:
    prefix_length: positions every query sees; a very large number makes
      attention bidirectional, 0 makes it causal.
    query_start: position of the first query, static or traced (decoding).
  """

  prefix_length: int
  query_start: int | jax.Array = 0

  def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Returns the leaves and the static part."""
    if isinstance(self.query_start, int):
      return (), (self.prefix_length, self.query_start)
    return (self.query_start,), (self.prefix_length,)

  @classmethod
  def tree_unflatten(
    cls, static: tuple[Any, ...], leaves: tuple[Any, ...]
  ) -> 'PrefixMask':
    """Inverse of `tree_flatten`."""
    return cls(*static, *leaves)

  def dense(self, num_queries: int, num_keys: int) -> jax.Array:
    """Bool (queries, keys), True where a query may see a key.

    Keys start at position 0 whatever `query_start` is.
    """
    query_L1 = self.query_start + jnp.arange(num_queries)[:, None]
    key_1S = jnp.arange(num_keys)[None, :]
    return (key_1S <= query_L1) | (key_1S < self.prefix_length)


BIDIRECTIONAL = PrefixMask(prefix_length=2**30)


def attention_mask(
  mask: PrefixMask, num_queries: int, visible_BS: jax.Array
) -> jax.Array:
  """Joins the static mask with hidden keys.

  Args:
    mask: mask of the layout.
    num_queries: L.
    visible_BS: bool (B, keys), False for keys that are hidden.

  Returns:
    bool (B, 1, L, keys).
  """
  dense_LS = mask.dense(num_queries, visible_BS.shape[1])
  return dense_LS[None, None] & visible_BS[:, None, None, :]
