"""One training step and one validation step, as pure functions."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from videopoet_jax.layers import low_rank
from videopoet_jax.training import state as state_lib
from videopoet_jax.training import trainable as trainable_lib

TrainState = state_lib.TrainState
Metrics = dict[str, jax.Array]
Gradients = Callable[..., tuple[Any, Metrics]]
Update = Callable[[TrainState, Any, Metrics], tuple[TrainState, Metrics]]


def make_gradients(
  trainable: trainable_lib.Trainable,
  unit: str,
  *,
  seed: int,
  accumulate: int = 1,
) -> Gradients:
  """Makes the half of a step that depends on the compile unit.

  Args:
    trainable: the model and its loss.
    unit: the compile unit.
    seed: seed of the run; a step's key follows from it and the step number.
    accumulate: number of parts of the batch that are run one after the other.

  Returns:
    (params, batch, step, frozen=None) -> (gradients, metrics); pure, to be
    jitted. `frozen` holds parameters that are not trained, see
    `low_rank.LowRankTrainable`.
  """

  def gradients(
    params: Any,
    batch: Mapping[str, jax.Array],
    step: jax.Array,
    frozen: Any = None,
  ) -> tuple[Any, Metrics]:
    def loss(
      params: Any, batch: Any, rng: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, Metrics]:
      whole = _whole(params, frozen)
      total, metrics = trainable.loss(whole, batch, rng, step, unit)
      return total, {'loss': total} | dict(metrics)

    rng = jax.random.fold_in(jax.random.key(seed), step)
    function = jax.grad(loss, has_aux=True)
    if accumulate == 1:
      return function(params, dict(batch), rng, step)
    # Strided parts, so that each part still touches every device's share.
    parts = jax.tree.map(
      lambda x: jnp.swapaxes(
        x.reshape(x.shape[0] // accumulate, accumulate, *x.shape[1:]), 0, 1
      ),
      dict(batch),
    )

    def body(total: Any, indexed: Any) -> tuple[Any, None]:
      index, part = indexed
      key = jax.random.fold_in(rng, index)
      found = function(params, part, key, step)
      return jax.tree.map(jnp.add, total, found), None

    first = jax.tree.map(lambda x: x[0], parts)
    zeros = jax.tree.map(
      lambda x: jnp.zeros(x.shape, x.dtype),
      jax.eval_shape(function, params, first, rng, step),
    )
    total, _ = jax.lax.scan(body, zeros, (jnp.arange(accumulate), parts))
    return jax.tree.map(lambda x: x / accumulate, total)

  return gradients


def make_update(
  optimizer: optax.GradientTransformation, *, ema_decay: float = 0.0
) -> Update:
  """Makes the half of a step that all compile units share.

  It is a separate program, so that an optimizer such as Muon is compiled once
  and not once a unit. If gradients or a loss are not finite, only the step
  number and the two counters of skipped steps change.

  Args:
    optimizer: transformation of gradients to updates.
    ema_decay: decay of the averaged parameters, smaller at the start.

  Returns:
    (state, gradients, {'loss': ...}) -> (state, metrics); pure, to be jitted.
  """

  def update(
    state: TrainState, grads: Any, metrics: Metrics
  ) -> tuple[TrainState, Metrics]:
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
    return new_state, {
      'gradient_norm': norm,
      'skipped_steps': skipped,
      'skipped_in_a_row': new_state.skipped_in_a_row,
    }

  return update


def make_validation_step(
  trainable: trainable_lib.Trainable, unit: str, *, seed: int
) -> Callable[..., Metrics]:
  """Makes (params, batch, index, frozen=None) -> metrics of one unit.

  The key follows from the batch's index alone, so the metrics are a function
  of the parameters and comparable throughout a run.
  """

  def validation_step(
    params: Any, batch: Any, index: jax.Array, frozen: Any = None
  ) -> Metrics:
    rng = jax.random.fold_in(jax.random.key(seed), index)
    whole = _whole(params, frozen)
    total, metrics = trainable.validation_loss(whole, batch, rng, unit)
    return {'loss': total} | dict(metrics)

  return validation_step


def _whole(params: Any, frozen: Any) -> Any:
  """Input of a loss: the parameters, with their frozen base if any."""
  return params if frozen is None else low_rank.Adapted(frozen, params)


def _choose(good: jax.Array, new: Any, old: Any) -> Any:
  return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, old)
