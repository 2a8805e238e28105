"""One interface for the quantizers of visual tokenizers.

A quantizer is a Flax module between encoder and decoder. Kinds without
parameters (LFQ, BSQ, FSQ) need no variables, so their methods may also be
called on the plain object.

Latents are (..., latent_dim), any float dtype; everything inside is float32.
"""

from __future__ import annotations

from typing import ClassVar

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.core import errors

# Ids are int32, and so are their weighted sums.
MOST_CODES = 2**24


class Quantizer(nn.Module):
  """Methods of every quantizer.

  Attributes:
    kind: name in `VisualTokenizerConfig.quantizer`.
    has_bits: whether bit i of an id says on which side of a plane the latent
      lies (LFQ, BSQ), so that expected bits can be decoded.
    term_names: names of the terms that `terms` returns.
  """

  kind: ClassVar[str] = ''
  has_bits: ClassVar[bool] = False
  term_names: ClassVar[tuple[str, ...]] = ()

  @property
  def codebook_size(self) -> int:
    """Number of codes."""
    raise NotImplementedError

  @property
  def latent_dim(self) -> int:
    """Channels that the encoder emits and the decoder takes."""
    raise NotImplementedError

  def quantize(self, latents: jax.Array) -> jax.Array:
    """Returns the code of each latent, with a straight-through gradient.

    Args:
      latents: (..., latent_dim).

    Returns:
      float32 (..., latent_dim).
    """
    raise NotImplementedError

  def soften(self, latents: jax.Array, noise: jax.Array) -> jax.Array:
    """Returns noisy latents in the range of codes, to bypass quantization.

    Args:
      latents: (..., latent_dim).
      noise: of the same shape; 1 is half the distance of neighbouring codes,
        or, where codes have no grid (VQ), the size of the quantization error.

    Returns:
      float32 (..., latent_dim).
    """
    raise NotImplementedError

  def latents_to_ids(self, latents: jax.Array) -> jax.Array:
    """Maps latents (..., latent_dim) to int32 ids (...)."""
    raise NotImplementedError

  def ids_to_codes(self, ids: jax.Array) -> jax.Array:
    """Maps int ids (...) to float32 codes (..., latent_dim)."""
    raise NotImplementedError

  def terms(
    self,
    latents: jax.Array,
    inverse_temperature: float = 1.0,
    group_bits: int = 9,
  ) -> dict[str, jax.Array]:
    """Returns the quantizer's terms of a loss, not weighted.

    A trainer needs one call, `model.apply({'params': params}, latents,
    inverse_temperature, group_bits, method='terms')`, and weighs the terms
    that it finds.

    Args:
      latents: (..., latent_dim) before quantization; all leading dimensions
        are samples of one distribution.
      inverse_temperature: sharpness of the soft assignment of the entropies.
      group_bits: at most how many bits share one joint distribution in the
        codebook's entropy; see `losses.lookup_free`.

    Returns:
      float32 scalars, those of `term_names`:

      - `commitment`: mean square distance of latents to their codes; moves
        latents (LFQ, BSQ, VQ);
      - `token_entropy`, in nats, to be minimized (LFQ, BSQ);
      - `codebook_entropy`, in nats, to be maximized (LFQ, BSQ);
      - `codebook`: the same distance as `commitment`; moves codes (VQ);
      - `revival`: moves idle codes to badly coded latents (VQ).
    """
    raise NotImplementedError

  def usage(self, latents: jax.Array) -> jax.Array:
    """Share of the codebook's entropy that latents use, from 0 to 1.

    It is the entropy of the distribution of codes over log(codebook_size).
    Where a code has dimensions (LFQ, BSQ, FSQ) their entropies are added up,
    as if they were independent.

    Args:
      latents: (..., latent_dim).

    Returns:
      float32 scalar without a gradient of use.
    """
    raise NotImplementedError

  def expected_codes(self, bits: jax.Array) -> jax.Array:
    """Maps expected bits (..., latent_dim) from -1 to 1 to the decoder's input.

    Raises:
      ConfigError: ids of this kind have no bits.
    """
    del bits
    raise errors.ConfigError(
      f'expected codes are decoded from bits, and quantizer = {self.kind!r} has'
      " none; decode from ids, or train a tokenizer with quantizer = 'lfq' or"
      " 'bsq'."
    )


def straight_through(latents: jax.Array, codes: jax.Array) -> jax.Array:
  """Returns codes whose gradient passes unchanged to the latents."""
  return latents + jax.lax.stop_gradient(codes - latents)


def mean_square(latents: jax.Array, codes: jax.Array) -> jax.Array:
  """Mean square distance of latents to fixed codes; only latents move."""
  return jnp.mean(jnp.square(latents - jax.lax.stop_gradient(codes)))
