"""Uncertain bits: their share, and that they are unbiased."""

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.training import uncertain_bits


def _codes(*shape):
  drawn = jax.random.bernoulli(jax.random.key(0), 0.5, shape)
  return jnp.where(drawn, 1.0, -1.0)


def test_uncertain_bits_are_right_as_often_as_they_say():
  codes = _codes(8, 5, 16, 16, 18)
  told = uncertain_bits.tell(codes, 0.25, jax.random.key(1))
  changed = np.asarray(told != codes)
  np.testing.assert_allclose(changed.mean(), 0.25, atol=0.01)
  # In groups: a place has either none or about half of its bits.
  none = ~changed.any(axis=-1)
  np.testing.assert_allclose(none.mean(), 0.5, atol=0.02)
  said, true = np.asarray(told)[changed], np.asarray(codes)[changed]
  for low in np.arange(-1.0, 1.0, 0.25):
    here = (said >= low) & (said < low + 0.25)
    np.testing.assert_allclose(true[here].mean(), said[here].mean(), atol=0.05)


def test_examples_may_have_a_share_each():
  codes = _codes(3, 5, 16, 16, 18)
  share_B = jnp.array([0.0, 0.16, 1.0]).reshape(3, 1, 1, 1, 1)
  told = uncertain_bits.tell(codes, share_B, jax.random.key(1))
  changed = np.asarray(told != codes).reshape(3, -1).mean(1)
  np.testing.assert_allclose(changed, [0.0, 0.16, 1.0], atol=0.02)
  np.testing.assert_array_equal(told[0], codes[0])
