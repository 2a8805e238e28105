"""Codes with uncertain bits, for training models that read expected codes.

A model that reads the expected codes of a super-resolution stage, a tokenizer's
decoder or the next stage (`UpscaleConfig.decode_from`), is trained on such
codes, which are made from true ones.
"""

import jax
import jax.numpy as jnp


def tell(
  codes_BTHWC: jax.Array, share: jax.Array | float, rng: jax.Array
) -> jax.Array:
  """Replaces some bits b by u b or -u b, with u uniform in [0, 1].

  It is u b with probability (1 + u) / 2. Places are chosen first and bits
  within them, since models are uncertain about several bits of a place at once.

  Args:
    codes_BTHWC: float32 with entries -1 and 1.
    share: share of the bits, from 0 to 1, one for all or one an example (B, 1,
      1, 1, 1): its square root is the share of the places, and of the bits in
      them.
    rng: random key.

  Returns:
    float32 codes, unbiased: where the result is e, the bit was 1 with
    probability (1 + e) / 2.
  """
  place_key, bit_key, certainty_key, right_key = jax.random.split(rng, 4)
  shape = codes_BTHWC.shape
  root = jnp.sqrt(share)
  chosen = jax.random.bernoulli(place_key, root, (*shape[:-1], 1))
  chosen &= jax.random.bernoulli(bit_key, root, shape)
  certainty = jax.random.uniform(certainty_key, shape)
  right = jax.random.bernoulli(right_key, 0.5 * (1.0 + certainty))
  told = jnp.where(right, codes_BTHWC, -codes_BTHWC) * certainty
  return jnp.where(chosen, told, codes_BTHWC)
