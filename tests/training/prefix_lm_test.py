"""The language model as a trainable: metrics and learning."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.parallel import rules
from videopoet_jax.training import prefix_lm

_LAYOUT = f'image_to_video/{small.SIZE}'


def _trainable():
  return prefix_lm.PrefixLMTrainable(small.config(), small.SPACE, (_LAYOUT,))


def test_metrics_and_a_few_steps_of_descent():
  trainable = _trainable()
  _, params = small.build(small.config())
  shapes = rules.unbox(jax.eval_shape(trainable.init, jax.random.key(0)))
  assert jax.tree.structure(shapes) == jax.tree.structure(params)
  layout = trainable.layouts[_LAYOUT]
  batch = {
    'tokens': jnp.asarray(small.tokens(layout, 4)),
    'visible': jnp.ones((4, layout.length), bool),
  }

  @jax.jit
  def step(params):
    (_, metrics), grads = jax.value_and_grad(trainable.loss, has_aux=True)(
      params, batch, jax.random.key(0), jnp.int32(0), _LAYOUT
    )
    return jax.tree.map(lambda p, g: p - 0.05 * g, params, grads), metrics

  history = []
  for _ in range(60):
    params, metrics = step(params)
    history.append(float(metrics['loss']))
  assert set(metrics) == {
    'loss',
    'perplexity',
    'loss/visual',
    'accuracy/visual',
  }
  np.testing.assert_allclose(
    metrics['perplexity'], np.exp(metrics['loss']), rtol=1e-5
  )
  assert history[-1] < 0.5 * history[0]


def test_noise_is_on_what_is_read_in_training_alone():
  plain = _trainable()
  noisy = dataclasses.replace(plain, context_noise=0.5)
  layout = plain.layouts[_LAYOUT]
  tokens_BL = jnp.asarray(small.tokens(layout, 64))
  _, params = small.build(small.config())
  batch = {
    'tokens': tokens_BL,
    'visible': jnp.ones(tokens_BL.shape, bool),
  }

  def loss(trainable, key):
    made = trainable.loss(
      params, batch, jax.random.key(key), jnp.int32(0), _LAYOUT
    )
    return float(made[0])

  validated, _ = noisy.validation_loss(
    params, batch, jax.random.key(0), _LAYOUT
  )
  assert float(validated) == loss(plain, 0)
  assert loss(noisy, 0) != loss(plain, 0)
  assert loss(noisy, 0) != loss(noisy, 1)


def test_a_wrong_share_of_noise_is_refused():
  with pytest.raises(errors.ConfigError, match='context_noise is 0.7'):
    dataclasses.replace(_trainable(), context_noise=0.7)
