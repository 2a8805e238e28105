"""Finite scalar quantization: each dimension is rounded to a few levels.

FSQ (Mentzer et al., arXiv 2309.15505, section 3.1 and appendix A.1). A
dimension with L levels is bounded by a tanh and rounded to L integers; the
codebook is their product, and there is no term besides the reconstruction.
An odd L gives integers from -(L - 1) / 2 to (L - 1) / 2, an even L those from
-L / 2 to L / 2 - 1, with the tanh shifted so that latents of zero lie in the
middle of an interval. Codes are the integers over L // 2. The id of a code is
the mixed-radix number of its levels, the first dimension lowest.

The bound is (L - 1) (1 + eps) / 2, as in the authors' later code and in
vector-quantize-pytorch; the paper's appendix has 1 - eps. Both round alike
but where a tanh saturates.
"""

from __future__ import annotations

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.tokenizers.quantizers import interface

_EPSILON = 1e-3
# With two levels, the shift of the tanh puts the threshold in its tail.
LEAST_LEVELS = 3


class FiniteScalarQuantizer(interface.Quantizer):
  """Rounding of bounded latents.

  Attributes:
    levels: levels of each dimension, 3 or more; the paper's choice for 2 ** 12
      codes is (7, 5, 5, 5, 5), for 2 ** 16 it is (8, 8, 8, 5, 5, 5).
  """

  levels: tuple[int, ...]

  kind: ClassVar[str] = 'fsq'

  @property
  def codebook_size(self) -> int:
    """Product of the levels."""
    return math.prod(self.levels)

  @property
  def latent_dim(self) -> int:
    """One channel a dimension."""
    return len(self.levels)

  def _over(self, ndim: int, values: np.ndarray) -> np.ndarray:
    """Puts per-dimension values at the end of an array of this rank."""
    return values.reshape((1,) * (ndim - 1) + (-1,))

  def _half(self, ndim: int) -> np.ndarray:
    """Half of the levels, rounded down: the distance of codes, inverted."""
    return self._over(ndim, np.array(self.levels, np.int32) // 2)

  def bound(self, latents: jax.Array) -> jax.Array:
    """Bounds latents (..., latent_dim) so that rounding gives the levels."""
    latents = latents.astype(jnp.float32)
    levels = np.array(self.levels)
    reach = (levels - 1) * (1 + _EPSILON) / 2
    offset = np.where(levels % 2 == 0, 0.5, 0.0)
    shift, reach, offset = (
      self._over(latents.ndim, array.astype(np.float32))
      for array in (np.arctanh(offset / reach), reach, offset)
    )
    return jnp.tanh(latents + shift) * reach - offset

  def quantize(self, latents: jax.Array) -> jax.Array:
    """Codes from -1 to 1; the gradient is that of `bound`."""
    bounded = self.bound(latents)
    rounded = interface.straight_through(bounded, jnp.round(bounded))
    return rounded / self._half(latents.ndim)

  def soften(self, latents: jax.Array, noise: jax.Array) -> jax.Array:
    """Bounded latents over the range of codes, with noise."""
    return (self.bound(latents) + 0.5 * noise) / self._half(latents.ndim)

  def latents_to_levels(self, latents: jax.Array) -> jax.Array:
    """Returns int32 (..., latent_dim), from 0 to levels - 1."""
    rounded = jnp.round(self.bound(latents)).astype(jnp.int32)
    return rounded + self._half(latents.ndim)

  def latents_to_ids(self, latents: jax.Array) -> jax.Array:
    """Maps latents (..., latent_dim) to int32 ids (...)."""
    weights = self._over(latents.ndim, self._weights())
    return jnp.sum(
      self.latents_to_levels(latents) * weights, axis=-1, dtype=jnp.int32
    )

  def ids_to_codes(self, ids: jax.Array) -> jax.Array:
    """Maps int ids (...) to float32 codes (..., latent_dim)."""
    ids = jnp.asarray(ids, jnp.int32)[..., None]
    levels = self._over(ids.ndim, np.array(self.levels, np.int32))
    digits = ids // self._over(ids.ndim, self._weights()) % levels
    half = self._half(ids.ndim)
    return (digits - half).astype(jnp.float32) / half

  def _weights(self) -> np.ndarray:
    """Weight of each dimension's level in an id."""
    return np.cumprod((1, *self.levels[:-1])).astype(np.int32)

  def terms(
    self,
    latents: jax.Array,
    inverse_temperature: float = 1.0,
    group_bits: int = 9,
  ) -> dict[str, jax.Array]:
    """Returns no term: FSQ trains by the reconstruction alone."""
    del latents, inverse_temperature, group_bits
    return {}

  def usage(self, latents: jax.Array) -> jax.Array:
    """Entropy of the levels, added up over dimensions, over its maximum."""
    levels = self.latents_to_levels(latents).reshape(-1, self.latent_dim)
    entropy = jnp.zeros((), jnp.float32)
    for dimension, number in enumerate(self.levels):
      counts = jnp.bincount(levels[:, dimension], length=number)
      share = counts.astype(jnp.float32) / levels.shape[0]
      entropy += jnp.sum(jax.scipy.special.entr(share))
    return entropy / math.log(self.codebook_size)
