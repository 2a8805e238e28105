"""Tests of Muon on Gram matrices, against Optax's own Muon."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from videopoet_jax.training import gram_muon


@pytest.mark.parametrize('shape', [(40, 8), (8, 40), (12, 12)])
def test_singular_values_come_near_one(shape):
  matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  out = np.asarray(gram_muon.orthogonalize(jnp.asarray(matrix)))
  values = np.linalg.svd(out, compute_uv=False)
  left, before, right = np.linalg.svd(matrix, full_matrices=False)
  kept = before > 0.1 * before.max()
  assert (values[: kept.sum()] > 0.6).all()
  assert (values < 1.3).all()
  # The singular vectors stay.
  inner = left.T @ out @ right.T
  np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=2e-3)


def test_several_updates_equal_those_of_optax():
  rng = np.random.default_rng(0)
  shapes = {
    'conv': (3, 3, 4, 6),
    'wide': (4, 9),
    'layers': (5, 7, 2),
    'b': (3,),
  }
  number = optax.contrib.MuonDimensionNumbers
  dimensions = {
    'conv': number((0, 1, 2), (3,)),
    'wide': number(0, 1),
    'layers': number(0, 2),  # Axis 1 holds separate matrices.
    'b': None,
  }
  ours = gram_muon.gram_muon(0.1, 0.01, dimensions)
  theirs = optax.contrib.muon(
    0.1, adam_learning_rate=0.01, muon_weight_dimension_numbers=dimensions
  )
  params = {name: jnp.zeros(shape) for name, shape in shapes.items()}
  state, other_state = ours.init(params), theirs.init(params)
  update, other_update = jax.jit(ours.update), jax.jit(theirs.update)
  for _ in range(3):
    gradient = {
      name: jnp.asarray(rng.normal(size=shape), jnp.float32)
      for name, shape in shapes.items()
    }
    mine, state = update(gradient, state, params)
    other, other_state = other_update(gradient, other_state, params)
    for name in shapes:
      np.testing.assert_allclose(
        mine[name], other[name], rtol=2e-3, atol=2e-4, err_msg=name
      )


def test_no_gradient_is_no_update():
  zero = jnp.zeros((4, 3))
  np.testing.assert_array_equal(gram_muon.orthogonalize(zero), zero)
