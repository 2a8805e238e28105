"""Tests of quantization by levels, worked out by hand."""

import jax.numpy as jnp
import numpy as np

from videopoet_jax.tokenizers.published import scalar_levels

_LEVELS = (8, 5, 3)


def test_every_id_has_its_code_and_every_code_its_id():
  size = scalar_levels.codebook_size(_LEVELS)
  assert size == 120
  codes = scalar_levels.ids_to_codes(jnp.arange(size), _LEVELS)
  assert codes.shape == (size, 3) and codes.dtype == jnp.float32
  assert len({tuple(code) for code in codes.tolist()}) == size
  # Latents that are bounded to the middle of each level.
  middle = np.asarray(_LEVELS) // 2
  half = (np.asarray(_LEVELS) - 1) * 1.001 / 2
  offset = np.asarray([0.5, 0, 0])
  steps = np.asarray(codes) * middle
  inside = np.clip((steps + offset) / half, -0.9999, 0.9999)
  latents = np.arctanh(inside) - np.arctanh(offset / half)
  ids = scalar_levels.latents_to_ids(jnp.asarray(latents), _LEVELS)
  np.testing.assert_array_equal(ids, np.arange(size))


def test_ids_count_the_first_dimension_fastest():
  far = 100.0
  latents = jnp.asarray([[-far, -far, -far], [0, -far, -far], [-far, 0, 0]])
  np.testing.assert_array_equal(
    scalar_levels.latents_to_ids(latents, _LEVELS), [0, 4, 2 * 8 + 1 * 40]
  )
  np.testing.assert_allclose(
    scalar_levels.ids_to_codes(jnp.asarray([[0], [119]]), _LEVELS),
    [[[-1, -1, -1]], [[0.75, 1, 1]]],
  )
