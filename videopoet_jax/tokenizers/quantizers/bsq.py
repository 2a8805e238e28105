"""Binary spherical quantization: LFQ on the unit sphere.

BSQ (Zhao et al., arXiv 2406.07548, section 3.1). A latent is divided by its
length, and its code is the nearest corner of the cube that the sphere
encloses: the signs over sqrt(num_bits). So the quantization error is bounded,
and the soft assignment to all codes, a softmax over
`2 * inverse_temperature * <u, c>`, is exactly a product of independent bits of
probability sigmoid(4 * inverse_temperature * u_i / sqrt(num_bits)).

The paper also takes the entropy of the mean assignment bit by bit:
`group_bits=1`. Larger groups, which are nearer to the joint entropy, are those
of `losses.lookup_free`.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from videopoet_jax.losses import lookup_free
from videopoet_jax.tokenizers.quantizers import interface
from videopoet_jax.tokenizers.quantizers import lfq


def to_sphere(latents: jax.Array) -> jax.Array:
  """Divides latents (..., num_bits) by their length; float32."""
  latents = latents.astype(jnp.float32)
  square = jnp.sum(jnp.square(latents), axis=-1, keepdims=True)
  # A latent of zero stays there, with a finite gradient.
  return latents * jax.lax.rsqrt(square + 1e-12)


class BinarySphericalQuantizer(lfq.LookupFreeQuantizer):
  """LFQ's bits, ids and usage, which only signs decide; codes on the sphere."""

  kind: ClassVar[str] = 'bsq'

  @property
  def code_scale(self) -> float:
    """Absolute value of each entry of a code."""
    return self.num_bits**-0.5

  def _codes(self, latents: jax.Array) -> jax.Array:
    return jnp.where(latents > 0, self.code_scale, -self.code_scale)

  def quantize(self, latents: jax.Array) -> jax.Array:
    """Corners of the cube; the gradient is that of the point on the sphere."""
    points = to_sphere(latents)
    return interface.straight_through(points, self._codes(points))

  def soften(self, latents: jax.Array, noise: jax.Array) -> jax.Array:
    """Points on the sphere, with noise."""
    return to_sphere(latents) + self.code_scale * noise

  def ids_to_codes(self, ids: jax.Array) -> jax.Array:
    """Maps int ids (...) to entries of -code_scale and code_scale."""
    return self.code_scale * lfq.ids_to_codes(ids, self.num_bits)

  def terms(
    self,
    latents: jax.Array,
    inverse_temperature: float = 1.0,
    group_bits: int = 9,
  ) -> dict[str, jax.Array]:
    """Commitment and both entropies, of points on the sphere.

    The paper needs no commitment term; its weight may be 0.
    """
    points = to_sphere(latents)
    entropies = lookup_free.entropy_terms(
      self.code_scale * points, inverse_temperature, group_bits
    )
    return {
      'commitment': interface.mean_square(points, self._codes(points)),
      'token_entropy': entropies.token,
      'codebook_entropy': entropies.codebook,
    }

  def expected_codes(self, bits: jax.Array) -> jax.Array:
    """Scales bits from -1 to 1 to the corners' size."""
    return self.code_scale * bits
