"""Positions without learned tables: rotary angles and T5's buckets."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.layers import partitioning


def rotary_angles(
  coordinates_L3: np.ndarray, head_dim: int, base: float = 10_000.0
) -> np.ndarray:
  """Angles of rotary positions (arXiv 2104.09864) over three axes.

  The head's planes are assigned in turn to time, row and column, so that each
  axis gets slow and fast rotations alike.

  Args:
    coordinates_L3: int (L, 3).
    head_dim: even.
    base: ratio of the fastest to the slowest rotation.

  Returns:
    float32 (L, head_dim / 2).
  """
  planes = np.arange(head_dim // 2)
  speeds = base ** (-(planes // 3 * 3) / max(1, head_dim // 2))
  angles = coordinates_L3[:, planes % 3] * speeds[None, :]
  return angles.astype(np.float32)


def rotate(heads_BNLD: jax.Array, angles_LP: jax.Array) -> jax.Array:
  """Turns each plane of each head by its position's angle.

  Args:
    heads_BNLD: queries or keys; plane i holds dimensions i and i + D / 2.
    angles_LP: (L, D / 2).
  """
  cosine = jnp.cos(angles_LP)[None, None].astype(heads_BNLD.dtype)
  sine = jnp.sin(angles_LP)[None, None].astype(heads_BNLD.dtype)
  first, second = jnp.split(heads_BNLD, 2, axis=-1)
  return jnp.concatenate(
    [first * cosine - second * sine, second * cosine + first * sine], axis=-1
  )


def distance_buckets(
  distance: np.ndarray, num_buckets: int, max_distance: int
) -> np.ndarray:
  """T5's buckets of distances (arXiv 1910.10683), in one direction.

  Distances below half of the buckets have a bucket each; those beyond share
  buckets that widen logarithmically up to `max_distance`.

  Args:
    distance: int, at least 0.
    num_buckets: number of buckets.
    max_distance: distance from which on all share the last bucket.

  Returns:
    int64 of the same shape, from 0 to `num_buckets` - 1.
  """
  exact = num_buckets // 2
  growth = np.log(np.maximum(distance, 1) / exact) / np.log(
    max_distance / exact
  )
  shared = exact + (growth * (num_buckets - exact)).astype(np.int64)
  return np.where(
    distance < exact, distance, np.minimum(shared, num_buckets - 1)
  )


def relative_buckets(
  num_queries: int, num_keys: int, num_buckets: int, max_distance: int
) -> np.ndarray:
  """T5's buckets of relative positions (arXiv 1910.10683), both directions.

  Half the buckets are for keys after the query; see `distance_buckets` for
  each half.

  Returns:
    int32 (queries, keys).
  """
  offset = np.arange(num_keys)[None, :] - np.arange(num_queries)[:, None]
  half = num_buckets // 2
  near = distance_buckets(np.abs(offset), half, max_distance)
  return (near + half * (offset > 0)).astype(np.int32)


class RelativeBias(nn.Module):
  """T5's bias of attention logits, the same in every layer.

  Checkpoints from before `place_bias.PlaceBias` have it. It works along the
  sequence, where the distances of one latent frame and of several share a
  bucket.

  Attributes:
    num_heads: query heads.
    num_buckets: see `relative_buckets`.
    max_distance: see `relative_buckets`.
    param_dtype: dtype that the table is stored in.
  """

  num_heads: int
  num_buckets: int = 32
  max_distance: int = 128
  param_dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, length: int) -> jax.Array:
    """Returns float32 or wider (heads, length, length), query by key."""
    table = partitioning.param(
      self,
      'table',
      nn.initializers.normal(0.02),
      (self.num_buckets, self.num_heads),
      (None, 'heads'),
      self.param_dtype,
    )
    buckets_LL = relative_buckets(
      length, length, self.num_buckets, self.max_distance
    )
    wide_type = jnp.promote_types(table.dtype, jnp.float32)
    return jnp.transpose(table[buckets_LL], (2, 0, 1)).astype(wide_type)
