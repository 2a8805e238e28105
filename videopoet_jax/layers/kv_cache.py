"""Keys and values of the positions seen so far, one pair of arrays a layer."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class LayerCache(NamedTuple):
  """One layer's keys and values.

  Heads come before positions, so that a decoding step reads contiguous memory.

  Attributes:
    key_BKSD: (B, key heads, positions, head_dim).
    value_BKSD: values, with the shape of the keys.
  """

  key_BKSD: jax.Array
  value_BKSD: jax.Array


def extend(cache: LayerCache, length: int) -> LayerCache:
  """Extends a cache to `length` positions in all; the new ones are zero."""

  def pad(array: jax.Array) -> jax.Array:
    room = length - array.shape[2]
    return jnp.pad(array, ((0, 0), (0, 0), (0, room), (0, 0)))

  return LayerCache(*map(pad, cache))


def write(
  cache: LayerCache, new: LayerCache, position: jax.Array | int
) -> LayerCache:
  """Puts new keys and values at `position` and after.

  Args:
    cache: a cache with room for them.
    new: the same shapes but for the number of positions.
    position: int32 scalar, position of the first new one.
  """

  def put(old: jax.Array, update: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(
      old, update.astype(old.dtype), position, axis=2
    )

  return LayerCache(*map(put, cache, new))
