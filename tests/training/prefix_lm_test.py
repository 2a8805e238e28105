"""The language model as a trainable: metrics, dropped conditions, learning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.parallel import rules
from videopoet_jax.training import prefix_lm

_LAYOUT = f'image_to_video/{small.SIZE}'


def _trainable(**settings):
  return prefix_lm.PrefixLMTrainable(
    small.config(), small.SPACE, (_LAYOUT,), **settings
  )


def test_dropped_text_hides_all_slots_and_nothing_else():
  trainable = _trainable(drop_rates=(('text', 0.5),))
  layout = trainable.layouts[_LAYOUT]
  visible_BL = jnp.ones((400, layout.length), bool)
  kept_BL = np.asarray(
    trainable.drop_conditions(jax.random.key(0), visible_BL, layout)
  )
  text_BS = kept_BL[:, layout.slices['text_i']]
  assert (text_BS.all(axis=1) | ~text_BS.any(axis=1)).all()
  assert 0.4 < text_BS[:, 0].mean() < 0.6
  others = np.delete(kept_BL, layout.slices['text_i'], axis=1)
  assert others.all()


def test_metrics_and_a_few_steps_of_descent():
  trainable = _trainable(drop_rates=())
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
  for _ in range(30):
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


def test_impossible_rates_are_refused():
  with pytest.raises(errors.ConfigError, match='drop_rates'):
    _trainable(drop_rates=(('text', 1.5),))
