"""Tests of linear: the product and its gradients are the plain ones."""

import chex
import jax
import jax.numpy as jnp
import pytest

from videopoet_jax.layers import linear


def _inputs(shape, dtype):
  keys = jax.random.split(jax.random.key(0), 3)
  inputs = jax.random.normal(keys[0], shape, dtype)
  kernel = jax.random.normal(keys[1], (shape[-1], 5), dtype)
  weights = jax.random.normal(keys[2], (*shape[:-1], 5), dtype)
  return inputs, kernel, weights


@pytest.mark.parametrize('shape', [(7, 3), (2, 4, 3), (2, 2, 4, 3)])
def test_project_equals_a_matrix_product_with_its_gradients(shape):
  inputs, kernel, weights = _inputs(shape, jnp.float32)

  def loss(multiply):
    def scalar(inputs, kernel):
      return jnp.sum(weights * jnp.tanh(multiply(inputs, kernel)))

    return jax.value_and_grad(scalar, argnums=(0, 1))(inputs, kernel)

  found, wanted = loss(linear.project), loss(jnp.matmul)
  chex.assert_trees_all_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_gradients_keep_the_dtype_of_what_they_belong_to():
  inputs, kernel, weights = _inputs((2, 4, 3), jnp.bfloat16)
  gradients = jax.grad(
    lambda *both: jnp.sum(weights * linear.project(*both)), argnums=(0, 1)
  )(inputs, kernel)
  assert [g.dtype for g in gradients] == [jnp.bfloat16] * 2
  assert [g.shape for g in gradients] == [inputs.shape, kernel.shape]


@pytest.mark.parametrize(
  ('policy', 'products'), [('dots_saveable', 3), ('nothing_saveable', 4)]
)
def test_a_remat_policy_sees_the_product(policy, products):
  inputs, kernel, _ = _inputs((2, 4, 3), jnp.float32)

  def block(inputs, kernel):
    return jnp.sum(jnp.sin(linear.project(jnp.sin(inputs), kernel)))

  kept = jax.checkpoint(block, policy=getattr(jax.checkpoint_policies, policy))
  program = jax.make_jaxpr(jax.grad(kept, (0, 1)))(inputs, kernel)
  # Forward, two gradients, and the forward again unless it was kept.
  assert str(program).count('dot_general') == products
