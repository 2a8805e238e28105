"""Chunked cross-entropy against Optax's, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from videopoet_jax.losses import cross_entropy

_SIZES = ((8, 8), (16, 13), (8, 5))  # (rows, rows in use) of each table.
_WIDTH, _NUMBER = 6, 11


def _problem(number_of_tables):
  generator = np.random.default_rng(0)
  weights, starts, start = [], [], 0
  for rows, _ in _SIZES[:number_of_tables]:
    weights.append(jnp.asarray(generator.normal(size=(rows, _WIDTH))))
    starts.append(start)
    start += rows
  used = np.concatenate([s + np.arange(u) for s, (_, u) in zip(starts, _SIZES)])
  hidden = jnp.asarray(generator.normal(size=(_NUMBER, _WIDTH)))
  return hidden, weights, starts, used, generator.choice(used, _NUMBER)


@pytest.mark.parametrize('number_of_tables', [1, 3])
@pytest.mark.parametrize('chunk_size', [0, 4])
@pytest.mark.parametrize('soft_cap', [0.0, 5.0])
def test_equals_optax(number_of_tables, chunk_size, soft_cap):
  hidden, weights, starts, used, labels = _problem(number_of_tables)

  def ours(hidden, weights):
    tables = [
      cross_entropy.Table(w, s, u)
      for w, s, (_, u) in zip(weights, starts, _SIZES)
    ]
    result = cross_entropy.cross_entropy(
      hidden,
      jnp.asarray(labels),
      tables,
      chunk_size=chunk_size,
      soft_cap=soft_cap,
    )
    return result.loss_N.mean() + 0.1 * jnp.square(result.log_z_N).mean(), (
      result
    )

  def theirs(hidden, weights):
    logits = hidden @ jnp.concatenate(weights)[used].T
    if soft_cap:
      logits = soft_cap * jnp.tanh(logits / soft_cap)
    local = jnp.asarray(np.searchsorted(used, labels))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, local)
    log_z = jax.nn.logsumexp(logits, axis=-1)
    return losses.mean() + 0.1 * jnp.square(log_z).mean(), (losses, logits)

  both = {'has_aux': True, 'argnums': (0, 1)}
  (value, result), grads = jax.jit(jax.value_and_grad(ours, **both))(
    hidden, weights
  )
  (expected, (losses, logits)), expected_grads = jax.value_and_grad(
    theirs, **both
  )(hidden, weights)
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  np.testing.assert_allclose(result.loss_N, losses, rtol=1e-5, atol=1e-5)
  for grad, wanted in zip(
    jax.tree.leaves(grads), jax.tree.leaves(expected_grads)
  ):
    np.testing.assert_allclose(grad, wanted, atol=1e-5)
  right = np.asarray(used[np.argmax(logits, axis=-1)] == labels)
  np.testing.assert_array_equal(result.correct_N, right)
