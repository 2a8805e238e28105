"""Lowers the programs of a train step, for the loop and for the planner.

A step is two programs, the gradients of one unit and the update that all units
share. This module holds everything that they are compiled from, without an
array on a device, so that a plan for a pod compiles the programs that run
there.
"""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

import jax

from videopoet_jax.parallel import compiler
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.training import low_rank
from videopoet_jax.training import optimizers
from videopoet_jax.training import state as state_lib
from videopoet_jax.training import step as step_lib
from videopoet_jax.training import trainable as trainable_lib


@dataclasses.dataclass(frozen=True)
class TrainStep:
  """The inputs of the compiled programs.

  Attributes:
    trainable: the model and its loss.
    optimizer: optimizer made for its parameters.
    create: function from parameters to a fresh `TrainState`.
    state: shapes and shardings of a `TrainState`.
    shardings: shardings of a `TrainState`.
    seed: seed of everything random in a step.
    accumulate: number of parts that a batch is split into.
    ema_decay: decay of the averaged parameters; 0 keeps none.
    options: options of the compiler, see `parallel.compiler`.
    frozen: shapes and shardings of the parameters that are not trained, None if
      all are.
  """

  trainable: trainable_lib.Trainable
  optimizer: Any
  create: Callable[[Any], state_lib.TrainState]
  state: state_lib.TrainState
  shardings: state_lib.TrainState
  seed: int
  accumulate: int
  ema_decay: float
  options: dict[str, Any] | None
  frozen: Any = None

  def lower_gradients(
    self, unit: str, batch: Mapping[str, jax.ShapeDtypeStruct]
  ) -> Any:
    """Lowers (params, batch, step, frozen) -> gradients and metrics.

    Args:
      unit: unit of the trainable.
      batch: shapes and shardings of a global batch.
    """
    gradients = step_lib.make_gradients(
      self.trainable, unit, seed=self.seed, accumulate=self.accumulate
    )
    jitted = jax.jit(
      gradients,
      out_shardings=(self.shardings.params, None),
      compiler_options=self.options,
    )
    return jitted.lower(self.state.params, batch, self.state.step, self.frozen)

  def lower_update(self) -> Any:
    """Lowers (state, gradients, loss) -> state and metrics."""
    update = step_lib.make_update(self.optimizer, ema_decay=self.ema_decay)
    jitted = jax.jit(
      update,
      donate_argnums=0,
      out_shardings=(self.shardings, None),
      compiler_options=self.options,
    )
    # float64 if JAX is configured to use it.
    scalar = jax.ShapeDtypeStruct((), jax.dtypes.canonicalize_dtype(float))
    return jitted.lower(self.state, self.state.params, {'loss': scalar})


def prepare(
  trainable: trainable_lib.Trainable,
  optimizer: optimizers.OptimizerConfig,
  mesh: jax.sharding.Mesh,
  rules: rules_lib.Rules,
  *,
  total_steps: int,
  seed: int = 0,
  ema_decay: float = 0.0,
  batch: Any = None,
) -> TrainStep:
  """Computes shapes and shardings of a run's state, no values.

  Args:
    trainable: the model and its loss.
    optimizer: config of the optimizer.
    mesh: mesh of the run.
    rules: logical to mesh axes.
    total_steps: steps of the run, for schedules.
    seed: see `TrainStep`.
    ema_decay: see `TrainStep`.
    batch: an example for trainables whose parameters depend on one.
  """
  boxed = jax.eval_shape(trainable.init, jax.random.key(seed), batch)
  made = optimizers.create(
    optimizer, total_steps, rules_lib.logical_axes(boxed)
  )
  create = functools.partial(
    state_lib.create, optimizer=made, keep_ema=ema_decay > 0.0
  )
  shapes = jax.eval_shape(create, rules_lib.unbox(boxed))
  shardings = state_lib.shardings(
    shapes,
    rules_lib.shardings(boxed, mesh, rules),
    rules_lib.replicated(mesh),
  )
  state = _placed(shapes, shardings)
  frozen = None
  if isinstance(trainable, low_rank.LowRankTrainable):
    base = jax.eval_shape(trainable.init_frozen, jax.random.key(seed), batch)
    frozen = _placed(
      rules_lib.unbox(base), rules_lib.shardings(base, mesh, rules)
    )
  return TrainStep(
    trainable, made, create, state, shardings, seed, optimizer.accumulate,
    ema_decay, compiler.options(mesh), frozen,
  )  # fmt: skip


def _placed(shapes: Any, shardings: Any) -> Any:
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    shapes,
    shardings,
  )
