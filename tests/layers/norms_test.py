"""Root-mean-square normalization equals its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.layers import norms

_INPUTS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
_SCALE = np.array([1.0, -2.0, 0.5, 3.0], np.float32)


def _apply(inputs, **fields):
  layer = norms.RMSNorm(**fields)
  return layer.apply({'params': {'scale': jnp.asarray(_SCALE)}}, inputs)


@pytest.mark.parametrize('epsilon', [1e-6, 0.5])
def test_formula(epsilon):
  square = np.mean(np.square(_INPUTS), axis=-1, keepdims=True)
  wanted = _INPUTS / np.sqrt(square + epsilon) * _SCALE
  found = _apply(jnp.asarray(_INPUTS), epsilon=epsilon)
  np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_mean_is_not_taken_off_and_the_size_does_not_matter():
  ones = jnp.full((1, 4), 7.0)
  np.testing.assert_allclose(_apply(ones)[0], _SCALE, rtol=1e-5)
  np.testing.assert_allclose(
    _apply(1000.0 * jnp.asarray(_INPUTS)), _apply(_INPUTS), rtol=1e-4
  )


def test_zeros_stay_zeros_and_their_gradient_is_finite():
  zeros = jnp.zeros((1, 4))
  assert not _apply(zeros).any()
  slope = jax.grad(lambda x: _apply(x).sum())(zeros)
  assert np.isfinite(slope).all()


def test_a_mean_of_bfloat16_is_taken_in_float32():
  # Squares of bfloat16 would lose all but 8 bits of the sum.
  inputs = jnp.asarray(_INPUTS, jnp.bfloat16)
  found = _apply(inputs)
  assert found.dtype == jnp.float32
  wide = np.asarray(inputs, np.float32)
  wanted = wide / np.sqrt(np.mean(wide**2, -1, keepdims=True) + 1e-6) * _SCALE
  np.testing.assert_allclose(found, wanted, rtol=1e-5)
  assert _apply(inputs, dtype=jnp.bfloat16).dtype == jnp.bfloat16


def test_the_scale_begins_at_one():
  variables = norms.RMSNorm(axis_name='embed').init(
    jax.random.key(0), jnp.zeros((2, 4))
  )
  (leaf,) = jax.tree.leaves(variables)
  np.testing.assert_array_equal(leaf, np.ones(4))
