"""Finite scalar quantization: each dimension of a latent has a few levels.

Mentzer et al., arXiv 2309.15505; the constants are those of the published
tokenizers. An id counts the levels of the first dimension fastest. Float32
throughout, since a rounded latent would change its id.
"""

from collections.abc import Sequence
import math

import jax
import jax.numpy as jnp
import numpy as np

# Latents reach a little further than the outermost levels.
_EPSILON = 1e-3


def codebook_size(levels: Sequence[int]) -> int:
  """Number of codes."""
  return math.prod(levels)


def _spread(values: np.ndarray, rank: int) -> jax.Array:
  """Shapes one value a dimension to broadcast over arrays of a rank."""
  return jnp.asarray(values.reshape((1,) * (rank - 1) + (-1,)))


def _steps(latents: jax.Array, levels: Sequence[int]) -> jax.Array:
  """Rounds latents to whole steps from the middle level, float32."""
  sizes = np.asarray(levels, np.float32)
  half = (sizes - 1) * np.float32(1 + _EPSILON) / 2
  offset = np.where(np.asarray(levels) % 2 == 0, 0.5, 0.0).astype(np.float32)
  shift = np.arctanh(offset / half)
  rank = latents.ndim
  bound = jnp.tanh(latents.astype(jnp.float32) + _spread(shift, rank))
  return jnp.round(bound * _spread(half, rank) - _spread(offset, rank))


def latents_to_ids(latents: jax.Array, levels: Sequence[int]) -> jax.Array:
  """Returns the local id of each latent.

  Args:
    latents: (..., dimensions), any float dtype.
    levels: number of levels of each dimension.

  Returns:
    int32 (...), from 0 to `codebook_size(levels)` - 1.
  """
  rank = latents.ndim
  middle = np.asarray(levels, np.int32) // 2
  basis = np.cumprod([1, *levels[:-1]]).astype(np.int32)
  digits = _steps(latents, levels).astype(jnp.int32) + _spread(middle, rank)
  return jnp.sum(digits * _spread(basis, rank), axis=-1, dtype=jnp.int32)


def ids_to_codes(ids: jax.Array, levels: Sequence[int]) -> jax.Array:
  """Returns the code of each id.

  Args:
    ids: int (...).
    levels: number of levels of each dimension.

  Returns:
    float32 (..., dimensions) in [-1, 1].
  """
  rank = jnp.ndim(ids) + 1
  sizes = np.asarray(levels, np.int32)
  basis = np.cumprod([1, *levels[:-1]]).astype(np.int32)
  digits = jnp.asarray(ids, jnp.int32)[..., None] // _spread(basis, rank)
  middle = sizes // 2
  steps = digits % _spread(sizes, rank) - _spread(middle, rank)
  return steps.astype(jnp.float32) / _spread(middle.astype(np.float32), rank)
