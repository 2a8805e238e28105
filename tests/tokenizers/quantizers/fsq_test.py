"""Tests of finite scalar quantization."""

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.tokenizers.quantizers import fsq


@pytest.mark.parametrize(
  ('levels', 'integers'),
  [
    (3, [-1, 0, 1]),
    (4, [-2, -1, 0, 1]),
    (5, [-2, -1, 0, 1, 2]),
    (8, [-4, -3, -2, -1, 0, 1, 2, 3]),
  ],
)
def test_odd_and_even_levels(levels, integers):
  quantizer = fsq.FiniteScalarQuantizer((levels,))
  latents = jnp.linspace(-9.0, 9.0, 2001)[:, None]
  codes = np.asarray(quantizer.quantize(latents))[:, 0] * (levels // 2)
  np.testing.assert_array_equal(np.unique(np.round(codes, 4)), integers)
  assert (np.diff(codes) > -1e-4).all()
  ids = np.asarray(quantizer.latents_to_ids(latents))
  np.testing.assert_array_equal(np.unique(ids), np.arange(levels))
  # A latent of zero lies in the middle of an interval.
  middle = np.asarray(quantizer.latents_to_ids(jnp.zeros((1, 1))))
  assert middle == levels // 2
  near = quantizer.latents_to_ids(jnp.array([[-0.05], [0.05]]))
  np.testing.assert_array_equal(near, [levels // 2] * 2)


def test_the_first_dimension_is_lowest_in_an_id():
  quantizer = fsq.FiniteScalarQuantizer((5, 4, 3))
  assert quantizer.codebook_size == 60 and quantizer.latent_dim == 3
  latents = jnp.array([[9.0, -9.0, -9.0], [-9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
  np.testing.assert_array_equal(
    quantizer.latents_to_ids(latents), [4, 3 * 5, 2 * 20]
  )
  np.testing.assert_array_equal(
    quantizer.ids_to_codes(np.array([4, 15, 40])),
    [[1.0, -1.0, -1.0], [-1.0, 0.5, -1.0], [-1.0, -1.0, 1.0]],
  )


def test_uniform_levels_use_the_whole_codebook():
  quantizer = fsq.FiniteScalarQuantizer((3, 4))
  bounded = np.stack(
    np.meshgrid([-9.0, 0.0, 9.0], [-9.0, -0.6, 0.0, 9.0]), -1
  ).reshape(-1, 2)
  ids = quantizer.latents_to_ids(jnp.asarray(bounded, jnp.float32))
  assert len(np.unique(ids)) == 12
  usage = quantizer.usage(jnp.asarray(bounded, jnp.float32))
  np.testing.assert_allclose(usage, 1.0, rtol=1e-6)
