"""One training step and one validation step, as pure functions."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from videopoet_jax.training import state as state_lib
from videopoet_jax.training import trainable as trainable_lib

TrainState = state_lib.TrainState
Metrics = dict[str, jax.Array]
TrainStep = Callable[
  [TrainState, Mapping[str, jax.Array]], tuple[TrainState, Metrics]
]


def make_train_step(
  trainable: trainable_lib.Trainable,
  optimizer: optax.GradientTransformation,
  unit: str,
  *,
  seed: int,
  ema_decay: float = 0.0,
  accumulate: int = 1,
) -> TrainStep:
  """Makes the step of one compile unit.

  A step whose loss or gradient is not finite changes nothing but the step
  number and the two counters of skipped steps.

  Args:
    trainable: the model and its loss.
    optimizer: gradients to updates.
    unit: the compile unit.
    seed: of the run; a step's key follows from it and the step number.
    ema_decay: of the averaged parameters, approached from below at the start.
    accumulate: parts of the batch that are run one after the other.

  Returns:
    (state, batch) -> (state, metrics); pure, to be jitted.
  """

  def loss(
    params: Any, batch: Any, rng: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Metrics]:
    total, metrics = trainable.loss(params, batch, rng, step, unit)
    return total, dict(metrics) | {'loss': total}

  def gradients(
    params: Any, batch: Any, rng: jax.Array, step: jax.Array
  ) -> tuple[Metrics, Any]:
    function = jax.grad(loss, has_aux=True)
    if accumulate == 1:
      grads, metrics = function(params, batch, rng, step)
      return metrics, grads
    # Strided parts, so that each part still touches every device's share.
    parts = jax.tree.map(
      lambda x: jnp.swapaxes(
        x.reshape(x.shape[0] // accumulate, accumulate, *x.shape[1:]), 0, 1
      ),
      dict(batch),
    )

    def body(total: Any, indexed: Any) -> tuple[Any, None]:
      index, part = indexed
      grads, metrics = function(
        params, part, jax.random.fold_in(rng, index), step
      )
      return jax.tree.map(jnp.add, total, (grads, metrics)), None

    first = jax.tree.map(lambda x: x[0], parts)
    zeros = jax.tree.map(
      lambda x: jnp.zeros(x.shape, x.dtype),
      jax.eval_shape(function, params, first, rng, step),
    )
    total, _ = jax.lax.scan(body, zeros, (jnp.arange(accumulate), parts))
    grads, metrics = jax.tree.map(lambda x: x / accumulate, total)
    return metrics, grads

  def train_step(
    state: TrainState, batch: Mapping[str, jax.Array]
  ) -> tuple[TrainState, Metrics]:
    rng = jax.random.fold_in(jax.random.key(seed), state.step)
    metrics, grads = gradients(state.params, batch, rng, state.step)
    norm = optax.tree.norm(grads)
    good = jnp.isfinite(norm) & jnp.isfinite(metrics['loss'])
    updates, new_optimizer = optimizer.update(
      grads, state.optimizer, state.params
    )
    new_params = optax.apply_updates(state.params, updates)
    params = _choose(good, new_params, state.params)
    ema = state.ema
    if ema is not None:
      # A run shorter than 1 / (1 - decay) would otherwise keep its init.
      warm = (1.0 + state.step) / (10.0 + state.step)
      decay = jnp.minimum(ema_decay, warm).astype(jnp.float32)
      averaged = jax.tree.map(
        lambda a, b: (decay * a + (1.0 - decay) * b).astype(a.dtype),
        ema,
        params,
      )
      ema = _choose(good, averaged, ema)
    bad = (~good).astype(jnp.int32)
    skipped = state.skipped + bad
    new_state = TrainState(
      step=state.step + 1,
      params=params,
      ema=ema,
      optimizer=_choose(good, new_optimizer, state.optimizer),
      skipped=skipped,
      skipped_in_a_row=bad * (state.skipped_in_a_row + 1),
    )
    return new_state, metrics | {
      'gradient_norm': norm,
      'skipped_steps': skipped,
      'skipped_in_a_row': new_state.skipped_in_a_row,
    }

  return train_step


def make_validation_step(
  trainable: trainable_lib.Trainable, unit: str, *, seed: int
) -> Callable[[Any, Mapping[str, jax.Array], jax.Array, jax.Array], Metrics]:
  """Makes (params, batch, index, step) -> metrics of one compile unit.

  The key follows from the batch's index alone, so the figures of two steps of
  a run are comparable.
  """

  def validation_step(
    params: Any, batch: Any, index: jax.Array, step: jax.Array
  ) -> Metrics:
    rng = jax.random.fold_in(jax.random.key(seed), index)
    total, metrics = trainable.loss(params, batch, rng, step, unit)
    return dict(metrics) | {'loss': total}

  return validation_step


def _choose(good: jax.Array, new: Any, old: Any) -> Any:
  return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)
