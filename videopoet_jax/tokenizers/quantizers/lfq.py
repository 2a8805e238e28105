"""Lookup-free quantization: a code is the signs of a latent vector.

MAGVIT-v2 (arXiv 2310.05737, section 3.1). With `num_bits` dimensions there are
2 ** num_bits codes and no codebook to look up; the id of a code is the sum of 2
** i over the dimensions i that are positive. Everything here is float32
whatever the dtype of the network: a latent that rounds to zero would change its
id.
"""

import jax
import jax.numpy as jnp


def quantize(latents: jax.Array) -> jax.Array:
  """Returns the code of each latent, with a straight-through gradient.

  Args:
    latents: (..., num_bits), any float dtype.

  Returns:
    float32 (..., num_bits) with entries -1 and +1; zero counts as negative. The
    gradient passes unchanged to the latents.
  """
  latents = latents.astype(jnp.float32)
  signs = jnp.where(latents > 0, 1.0, -1.0)
  return latents + jax.lax.stop_gradient(signs - latents)


def latents_to_ids(latents: jax.Array) -> jax.Array:
  """Returns the local id of each latent.

  Args:
    latents: (..., num_bits); only the signs matter.

  Returns:
    int32 (...), from 0 to 2 ** num_bits - 1.
  """
  num_bits = latents.shape[-1]
  weights = (1 << jnp.arange(num_bits, dtype=jnp.int32)).reshape(
    (1,) * (latents.ndim - 1) + (num_bits,)
  )
  return jnp.sum(jnp.where(latents > 0, weights, 0), axis=-1, dtype=jnp.int32)


def ids_to_bits(ids: jax.Array, num_bits: int) -> jax.Array:
  """Returns the bits of each id, lowest first.

  Args:
    ids: int (...), from 0 to 2 ** num_bits - 1.
    num_bits: number of bits to return.

  Returns:
    int32 (..., num_bits) with entries 0 and 1; bit i is 1 where dimension i is
    positive.
  """
  shifts = jnp.arange(num_bits, dtype=jnp.int32).reshape(
    (1,) * jnp.ndim(ids) + (num_bits,)
  )
  return (jnp.asarray(ids, jnp.int32)[..., None] >> shifts) & 1


def bits_to_ids(bits: jax.Array) -> jax.Array:
  """Returns the id with these bits, lowest first; inverse of `ids_to_bits`.

  Args:
    bits: (..., num_bits) with entries 0 and 1.

  Returns:
    int32 (...).
  """
  return latents_to_ids(bits)


def ids_to_codes(ids: jax.Array, num_bits: int) -> jax.Array:
  """Returns the code of each id, float32 (..., num_bits) of -1 and +1."""
  return ids_to_bits(ids, num_bits).astype(jnp.float32) * 2.0 - 1.0
