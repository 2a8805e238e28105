"""Codes of which some bits are known with a certainty only.

What reads the expected codes of a super-resolution stage, a tokenizer's decoder
or the next stage (`UpscaleConfig.decode_from`), gets used to them by training
on such codes, made from true ones.
"""

import jax
import jax.numpy as jnp


def tell(
  codes_BTHWC: jax.Array, share: jax.Array | float, rng: jax.Array
) -> jax.Array:
  """Tells some bits with a certainty u even in [0, 1], in groups as models do.

  Such a bit becomes u times itself, and is wrong by a chance of (1 - u) / 2.

  Args:
    codes_BTHWC: float32 of -1 and 1.
    share: of the bits, from 0 to 1, one for all or one an example (B, 1, 1, 1,
      1): its root of the places, and the root of their bits.
    rng: key.

  Returns:
    float32 codes, right on average: where the result is e, the bit was 1 with
    chance (1 + e) / 2.
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
