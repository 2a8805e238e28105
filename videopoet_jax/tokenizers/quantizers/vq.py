"""Vector quantization: a code is the nearest entry of a learned codebook.

VQ-VAE (van den Oord et al., arXiv 1711.00937), with the codebook as a
parameter and the codebook loss in place of moving averages; see `codebook`,
also for how idle codes are revived. Gradients reach the encoder
straight-through, or by the rotation trick (Fifty et al., arXiv 2410.06424,
section 4.2): the code is written as the latent rotated and scaled, and the
rotation and scale are constants.
"""

from __future__ import annotations

import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from videopoet_jax.tokenizers.quantizers import codebook as codebook_lib
from videopoet_jax.tokenizers.quantizers import interface

GRADIENTS = ('straight_through', 'rotation')
_EPSILON = 1e-6  # Least length that is divided by.


def rotate(latents: jax.Array, codes: jax.Array) -> jax.Array:
  """Returns codes as rotated and scaled latents.

  Args:
    latents: float32 (..., code_dim).
    codes: float32 (..., code_dim).

  Returns:
    float32 (..., code_dim), equal to codes up to rounding. A gradient is
    rotated back and scaled on its way to the latents; none goes to codes.
  """
  codes = jax.lax.stop_gradient(codes)
  fixed = jax.lax.stop_gradient(latents)

  def length(vectors: jax.Array) -> jax.Array:
    return jnp.maximum(
      jnp.linalg.norm(vectors, axis=-1, keepdims=True), _EPSILON
    )

  source, target = fixed / length(fixed), codes / length(codes)
  middle = (source + target) / length(source + target)
  scale = jnp.linalg.norm(codes, axis=-1, keepdims=True) / length(fixed)

  def along(direction: jax.Array) -> jax.Array:
    return jnp.sum(latents * direction, axis=-1, keepdims=True)

  rotated = latents - 2 * along(middle) * middle + 2 * along(source) * target
  return scale * rotated


class VectorQuantizer(interface.Quantizer):
  """A codebook and its use.

  Attributes:
    num_codes: number of codes.
    code_dim: width of a code.
    gradient: 'straight_through' or 'rotation'.
  """

  num_codes: int
  code_dim: int
  gradient: str = 'straight_through'

  kind: ClassVar[str] = 'vq'
  term_names: ClassVar[tuple[str, ...]] = ('commitment', 'codebook', 'revival')

  def setup(self) -> None:
    """Declares the codebook."""
    self.codebook_VD = codebook_lib.param(
      self, 'codebook', 1, self.num_codes, self.code_dim
    )[0]

  @property
  def codebook_size(self) -> int:
    """Number of codes."""
    return self.num_codes

  @property
  def latent_dim(self) -> int:
    """Width of a code."""
    return self.code_dim

  def latents_to_ids(self, latents: jax.Array) -> jax.Array:
    """Maps latents (..., code_dim) to int32 ids (...)."""
    points = latents.astype(jnp.float32).reshape(-1, self.code_dim)
    ids_N = codebook_lib.nearest(points, self.codebook_VD)
    return ids_N.reshape(latents.shape[:-1]).astype(jnp.int32)

  def ids_to_codes(self, ids: jax.Array) -> jax.Array:
    """Maps int ids (...) to float32 codes (..., code_dim)."""
    return self.codebook_VD[jnp.asarray(ids, jnp.int32)]

  def quantize(self, latents: jax.Array) -> jax.Array:
    """Nearest codes; no gradient goes to the codebook (see `terms`)."""
    latents = latents.astype(jnp.float32)
    codes = self.ids_to_codes(self.latents_to_ids(latents))
    if self.gradient == 'rotation':
      return rotate(latents, codes)
    return interface.straight_through(latents, codes)

  def soften(self, latents: jax.Array, noise: jax.Array) -> jax.Array:
    """Latents with noise of the root mean square quantization error."""
    latents = latents.astype(jnp.float32)
    codes = self.ids_to_codes(self.latents_to_ids(latents))
    error = jnp.sqrt(jnp.mean(jnp.square(codes - latents)))
    return latents + jax.lax.stop_gradient(error) * noise

  def terms(
    self,
    latents: jax.Array,
    inverse_temperature: float = 1.0,
    group_bits: int = 9,
  ) -> dict[str, jax.Array]:
    """Commitment, codebook and revival terms; there are no entropies."""
    del inverse_temperature, group_bits
    points_ND = latents.astype(jnp.float32).reshape(-1, self.code_dim)
    chosen = codebook_lib.choose(points_ND, self.codebook_VD)
    return {
      'commitment': interface.mean_square(points_ND, chosen.codes_ND),
      'codebook': chosen.codebook_loss,
      'revival': chosen.revival_loss,
    }

  def usage(self, latents: jax.Array) -> jax.Array:
    """Entropy of the ids over its maximum."""
    ids_N = self.latents_to_ids(latents).reshape(-1)
    counts_V = jnp.bincount(ids_N, length=self.num_codes)
    share_V = counts_V.astype(jnp.float32) / ids_N.size
    entropy = jnp.sum(jax.scipy.special.entr(share_V))
    return entropy / math.log(self.num_codes)
