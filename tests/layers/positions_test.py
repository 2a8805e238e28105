"""Rotary angles and T5's buckets."""

import jax.numpy as jnp
import numpy as np

from videopoet_jax.layers import positions


def test_rotary_products_depend_on_offsets_only():
  generator = np.random.default_rng(0)
  query, key = generator.normal(size=(2, 1, 1, 1, 12))

  def product(place, other):
    def turned(vector, at):
      angles = positions.rotary_angles(np.array([at]), 12)
      return positions.rotate(jnp.asarray(vector), jnp.asarray(angles))

    return float(jnp.sum(turned(query, place) * turned(key, other)))

  near = product((1, 2, 3), (0, 4, 1))
  np.testing.assert_allclose(near, product((6, 3, 5), (5, 5, 3)), rtol=1e-4)
  assert abs(near - product((1, 2, 3), (0, 4, 2))) > 1e-4


def test_t5_buckets_tell_near_offsets_apart_and_share_far_ones():
  buckets = positions.relative_buckets(300, 300, 32, 128)
  # Worked by the published rule: 16 buckets a side, 8 of them exact.
  assert buckets[5, 5] == 0 and buckets[5, 4] == 1 and buckets[5, 12] == 23
  assert buckets[200, 192] == 8 and buckets[0, 299] == 31
  assert buckets[299, 0] == buckets[280, 100] == 15
