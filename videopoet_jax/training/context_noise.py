"""Noise on the visual ids that a language model reads in training.

A sampled video is continued from ids that the model drew itself, some of them
wrong, while training shows only true ones. Flipping bits of the inputs, but not
of the labels, shows wrong ones; and with few clips, no clip is read twice in
the same form.
"""

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.layers import embeddings


def flip_bits(
  tokens_BL: jax.Array,
  layout: layout_lib.SequenceLayout,
  rng: jax.Array,
  most: float,
) -> jax.Array:
  """Flips bits of visual ids.

  Args:
    tokens_BL: int32 (B, L) global ids; the number of visual ids is a power of
      two.
    layout: layout of the sequences.
    rng: random key.
    most: largest share of flipped bits; each example draws its own from 0.

  Returns:
    int32 (B, L).
  """
  rate_key, flip_key = jax.random.split(rng)
  bits = embeddings.num_bits(layout.vocabulary)
  start = layout.vocabulary.ranges[types.Modality.VISUAL].start
  (visual_V,) = np.nonzero(
    layout.modality_L == embeddings.MODALITIES.index(types.Modality.VISUAL)
  )
  if not visual_V.size:
    return tokens_BL
  batch = tokens_BL.shape[0]
  rate_B11 = most * jax.random.uniform(rate_key, (batch, 1, 1))
  drawn_BVb = jax.random.uniform(flip_key, (batch, visual_V.size, bits))
  weights_11b = (1 << jnp.arange(bits, dtype=jnp.int32))[None, None]
  flips_BV = jnp.sum(
    jnp.where(drawn_BVb < rate_B11, weights_11b, 0), axis=-1, dtype=jnp.int32
  )
  local_BV = tokens_BL[:, visual_V] - start
  return tokens_BL.at[:, visual_V].set((local_BV ^ flips_BV) + start)
