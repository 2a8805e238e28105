"""Steps of a trainable: what they log, what they skip, what they average."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from videopoet_jax.training import state as state_lib
from videopoet_jax.training import step as step_lib


class _Trainable:
  """Minimises 3 params, of which one part is a steadying term."""

  name = 'line'

  def __init__(self, values):
    self._values = values

  def loss(self, params, batch, rng, step, unit):
    del batch, rng, step, unit
    return 3.0 * params, {k: v * params for k, v in self._values.items()}

  def validation_loss(self, params, batch, rng, unit):
    return self.loss(params, batch, rng, None, unit)


@pytest.mark.parametrize(
  'values, logged',
  [({}, 6.0), ({'loss': 2.5}, 5.0), ({'accuracy': 0.25}, 6.0)],
)
def test_a_loss_of_its_own_is_logged(values, logged):
  trainable = _Trainable(values)
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
      **{k: v * 2 for k, v in values.items()},
    }


def _state(ema_decay=0.9):
  optimizer = optax.sgd(0.5)
  state = state_lib.create(
    {'weight': jnp.float32(2.0)}, optimizer, keep_ema=True
  )
  return state, step_lib.make_update(optimizer, ema_decay=ema_decay)


@pytest.mark.parametrize(
  'gradient, loss', [(np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan)]
)
def test_what_is_not_finite_changes_nothing(gradient, loss):
  """Neither gradients nor a loss, each by itself."""
  state, update = _state()
  grads = {'weight': jnp.float32(gradient)}
  after, metrics = update(state, grads, {'loss': jnp.float32(loss)})
  assert float(after.params['weight']) == float(after.ema['weight']) == 2.0
  assert int(after.step) == 1
  assert int(after.skipped) == int(after.skipped_in_a_row) == 1
  assert int(metrics['skipped_in_a_row']) == 1
  good = {'weight': jnp.float32(1.0)}
  after, _ = update(after, good, {'loss': jnp.float32(1.0)})
  assert float(after.params['weight']) == 1.5
  assert int(after.skipped) == 1 and int(after.skipped_in_a_row) == 0


def test_the_average_is_approached_from_below():
  """Its decay is (1 + step) / (10 + step) until that is the asked one."""
  state, update = _state(ema_decay=0.3)
  expected = 2.0
  for step in range(8):
    grads = {'weight': jnp.float32(1.0)}
    state, _ = update(state, grads, {'loss': jnp.float32(1.0)})
    decay = min(0.3, (1 + step) / (10 + step))
    weight = 2.0 - 0.5 * (step + 1)
    expected = decay * expected + (1 - decay) * weight
    assert float(state.ema['weight']) == pytest.approx(expected, rel=1e-6)
  assert (1 + 7) / (10 + 7) > 0.3 > (1 + 2) / (10 + 2)  # Both were met.


class _Draws:
  """Its loss is the largest entry of a batch; it logs what it drew."""

  def loss(self, params, batch, rng, step, unit):
    metrics = {'drawn': jax.random.uniform(rng), 'step': step}
    return params * jnp.max(batch['x']), metrics

  def validation_loss(self, params, batch, rng, unit):
    return self.loss(params, batch, rng, 0, unit)


def _uniform(*numbers):
  """What follows from the seed 3 and these numbers."""
  key = jax.random.key(3)
  for number in numbers:
    key = jax.random.fold_in(key, number)
  return float(jax.random.uniform(key))


def test_a_steps_draws_follow_from_seed_and_step():
  batch, params = {'x': jnp.arange(6.0)}, jnp.float32(2.0)
  function = step_lib.make_gradients(_Draws(), 'all', seed=3)
  gradient, metrics = function(params, batch, jnp.int32(7))
  assert float(gradient) == 5.0 and float(metrics['loss']) == 10.0
  assert float(metrics['drawn']) == _uniform(7)
  validate = step_lib.make_validation_step(_Draws(), 'all', seed=3)
  found = validate(params, batch, jnp.int32(2))
  assert float(found['drawn']) == _uniform(2) and float(found['loss']) == 10.0


def test_accumulated_gradients_are_the_mean_over_strided_parts():
  batch, params = {'x': jnp.arange(6.0)}, jnp.float32(2.0)
  function = step_lib.make_gradients(_Draws(), 'all', seed=3, accumulate=3)
  gradient, metrics = function(params, batch, jnp.int32(7))
  # Parts (0, 3), (1, 4) and (2, 5).
  assert float(gradient) == 4.0 and float(metrics['loss']) == 8.0
  drawn = np.mean([_uniform(7, part) for part in range(3)])
  assert float(metrics['drawn']) == pytest.approx(drawn, rel=1e-6)
  assert float(metrics['step']) == 7.0


def test_an_update_says_how_large_it_was_and_counts_what_it_skipped():
  state, update = _state()
  good = {'weight': jnp.float32(-3.0)}
  bad = {'weight': jnp.float32(np.nan)}
  loss = {'loss': jnp.float32(1.0)}
  state, metrics = update(state, good, loss)
  assert float(metrics['gradient_norm']) == 3.0
  assert int(metrics['skipped_steps']) == 0
  for count in (1, 2):
    state, metrics = update(state, bad, loss)
    assert int(metrics['skipped_steps']) == count
    assert int(metrics['skipped_in_a_row']) == count
  state, metrics = update(state, good, loss)
  assert int(metrics['skipped_steps']) == 2 and int(state.step) == 4
  assert int(metrics['skipped_in_a_row']) == 0


def test_without_an_average_none_is_kept():
  optimizer = optax.sgd(0.5)
  state = state_lib.create({'weight': jnp.float32(2.0)}, optimizer, False)
  update = step_lib.make_update(optimizer)
  grads = {'weight': jnp.float32(1.0)}
  after, _ = update(state, grads, {'loss': jnp.float32(1.0)})
  assert after.ema is None and float(after.params['weight']) == 1.5
