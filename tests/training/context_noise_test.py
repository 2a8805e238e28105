"""Noise flips bits of visual ids, of each example at a rate of its own."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.models.prefix_lm import small
from videopoet_jax.core import types
from videopoet_jax.layers import embeddings
from videopoet_jax.training import context_noise

_LAYOUT = f'image_to_video/{small.SIZE}'


def test_a_share_of_the_bits_of_visual_ids_is_flipped():
  layout = small.SPACE.layout(_LAYOUT)
  tokens_BL = jnp.asarray(small.tokens(layout, 64))
  read_BL = context_noise.flip_bits(tokens_BL, layout, jax.random.key(1), 0.5)
  layout.parse(np.asarray(read_BL[0]))  # Ids stay in their segments.
  is_visual_L = layout.modality_L == embeddings.MODALITIES.index(
    types.Modality.VISUAL
  )
  changed_BL = np.asarray(read_BL != tokens_BL)
  assert not changed_BL[:, ~is_visual_L].any()
  bits = embeddings.num_bits(layout.vocabulary)
  start = layout.vocabulary.ranges[types.Modality.VISUAL].start
  flips_BV = np.asarray((read_BL - start) ^ (tokens_BL - start))[:, is_visual_L]
  share_B = np.bitwise_count(flips_BV).mean(1) / bits
  assert 0.2 < share_B.mean() < 0.3  # Uniform up to one half.
  assert share_B.min() < 0.1 and share_B.max() > 0.4


def test_no_noise_changes_nothing():
  layout = small.SPACE.layout(_LAYOUT)
  tokens_BL = jnp.asarray(small.tokens(layout, 2))
  read_BL = context_noise.flip_bits(tokens_BL, layout, jax.random.key(1), 0.0)
  np.testing.assert_array_equal(read_BL, tokens_BL)


def test_another_key_flips_other_bits():
  layout = small.SPACE.layout(_LAYOUT)
  tokens_BL = jnp.asarray(small.tokens(layout, 4))

  def read(seed):
    key = jax.random.key(seed)
    return np.asarray(context_noise.flip_bits(tokens_BL, layout, key, 0.5))

  np.testing.assert_array_equal(read(1), read(1))
  assert (read(1) != read(2)).any()
  assert read(1).dtype == np.int32
