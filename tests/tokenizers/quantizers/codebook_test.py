"""Tests of looking up in a learned codebook."""

import jax.numpy as jnp
import numpy as np

from videopoet_jax.tokenizers.quantizers import codebook


def test_lookup_by_hand():
  codes = jnp.array([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
  points = jnp.array([[0.1, 0.0], [0.9, 0.0], [1.0, 2.0], [0.0, 0.0]])
  chosen = codebook.choose(points, codes)
  np.testing.assert_array_equal(chosen.ids_N, [0, 1, 1, 0])
  np.testing.assert_array_equal(chosen.ids_N, codebook.nearest(points, codes))
  np.testing.assert_allclose(chosen.usage, 2 / 3, rtol=1e-6)
  np.testing.assert_allclose(
    chosen.codebook_loss, (0.01 + 0.01 + 4.0) / 8, rtol=1e-5
  )
  # Only (1, 2) is coded worse than the mean; the idle code goes there.
  np.testing.assert_allclose(
    chosen.revival_loss, (4.0**2 + 3.0**2) / 2 / 3, rtol=1e-5
  )
