"""Steps of a trainable: which figures they log."""

import jax
import jax.numpy as jnp
import pytest

from videopoet_jax.training import step as step_lib


class _Trainable:
  """Minimises 3 params, of which one part is a steadying term."""

  name = 'line'

  def __init__(self, figures):
    self._figures = figures

  def loss(self, params, batch, rng, step, unit):
    del batch, rng, step, unit
    return 3.0 * params, {k: v * params for k, v in self._figures.items()}

  def validation_loss(self, params, batch, rng, unit):
    return self.loss(params, batch, rng, None, unit)


@pytest.mark.parametrize(
  'figures, logged',
  [({}, 6.0), ({'loss': 2.5}, 5.0), ({'accuracy': 0.25}, 6.0)],
)
def test_a_loss_of_its_own_is_logged(figures, logged):
  trainable = _Trainable(figures)
  params, step = jnp.float32(2.0), jnp.int32(0)
  gradient, metrics = step_lib.make_gradients(trainable, 'all', seed=0)(
    params, {}, step
  )
  # What is minimised is the whole either way.
  assert float(gradient) == 3.0
  validated = step_lib.make_validation_step(trainable, 'all', seed=0)(
    params, {}, step
  )
  for found in (metrics, validated):
    assert jax.tree.map(float, found) == {
      'loss': logged,
      **{k: v * 2 for k, v in figures.items()},
    }
