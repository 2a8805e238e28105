"""Lookup-free quantization: a code is the signs of a latent vector.

MAGVIT-v2 (arXiv 2310.05737, section 3.1). With `num_bits` dimensions there are
2 ** num_bits codes and no codebook to look up; the id of a code is the sum of 2
** i over the dimensions i that are positive. Everything here is float32
whatever the dtype of the network: a latent that rounds to zero would change its
id.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from videopoet_jax.losses import lookup_free
from videopoet_jax.tokenizers.quantizers import interface


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


def usage(latents: jax.Array) -> jax.Array:
  """Mean over dimensions of the entropy, in bits, of the latents' signs.

  Args:
    latents: (..., num_bits); only the signs matter.

  Returns:
    float32 scalar from 0 to 1.
  """
  share = jnp.mean(
    latents > 0, axis=tuple(range(latents.ndim - 1)), dtype=jnp.float32
  )
  return jnp.mean(
    (jax.scipy.special.entr(share) + jax.scipy.special.entr(1.0 - share))
    / jnp.log(2.0)
  )


class LookupFreeQuantizer(interface.Quantizer):
  """The functions of this module behind the common interface.

  Attributes:
    num_bits: latent dimensions, hence 2 ** num_bits codes.
  """

  num_bits: int

  kind: ClassVar[str] = 'lfq'
  has_bits: ClassVar[bool] = True
  term_names: ClassVar[tuple[str, ...]] = (
    'commitment',
    'token_entropy',
    'codebook_entropy',
  )

  @property
  def codebook_size(self) -> int:
    """2 ** num_bits."""
    return 2**self.num_bits

  @property
  def latent_dim(self) -> int:
    """One channel a bit."""
    return self.num_bits

  def quantize(self, latents: jax.Array) -> jax.Array:
    """See `quantize` of this module."""
    return quantize(latents)

  def soften(self, latents: jax.Array, noise: jax.Array) -> jax.Array:
    """Clips latents to [-1, 1] and adds the noise."""
    return jnp.clip(latents.astype(jnp.float32), -1.0, 1.0) + noise

  def latents_to_ids(self, latents: jax.Array) -> jax.Array:
    """See `latents_to_ids` of this module."""
    return latents_to_ids(latents)

  def ids_to_codes(self, ids: jax.Array) -> jax.Array:
    """See `ids_to_codes` of this module."""
    return ids_to_codes(ids, self.num_bits)

  def terms(
    self,
    latents: jax.Array,
    inverse_temperature: float = 1.0,
    group_bits: int = 9,
  ) -> dict[str, jax.Array]:
    """Commitment and both entropies; see `losses.lookup_free`."""
    entropies = lookup_free.entropy_terms(
      latents, inverse_temperature, group_bits
    )
    return {
      'commitment': lookup_free.commitment(latents),
      'token_entropy': entropies.token,
      'codebook_entropy': entropies.codebook,
    }

  def usage(self, latents: jax.Array) -> jax.Array:
    """See `usage` of this module."""
    return usage(latents)

  def expected_codes(self, bits: jax.Array) -> jax.Array:
    """Codes are bits of -1 and 1."""
    return bits
