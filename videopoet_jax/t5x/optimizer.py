"""This project's Optax transformations as a T5X optimizer.

T5X's own wrapper recognises the states of some of Optax's transformations by
type; Muon's and a state per layer are not among them. Here the state is a flat
dict by path, as in this project's checkpoints, and every moment has the axes of
its parameter.
"""

from typing import Any

import flax.core
import flax.struct
import jax
import jax.numpy as jnp
import optax
from t5x import optimizers

from videopoet_jax.training import state as state_lib


@flax.struct.dataclass
class _HyperParams:
  """Hyperparameters of T5X's trainer; the transformation has the schedule."""

  learning_rate: Any = None


class OptaxOptimizer(optimizers.OptimizerDef):
  """An Optax transformation that T5X's train state can hold.

  The learning rate that T5X's trainer computes is only for its log: the
  transformation contains its schedule.
  """

  def __init__(self, transformation: optax.GradientTransformation) -> None:
    """Wraps a transformation.

    Args:
      transformation: transformation of gradients to updates, schedule included
        (`training.optimizers.create`).
    """
    super().__init__(_HyperParams())
    self._transformation = transformation

  def init_state(self, params: Any) -> optimizers.OptimizerState:
    """Returns a fresh state: step 0 and a flat dict of moments.

    Args:
      params: parameters, unboxed.
    """
    state = self._transformation.init(flax.core.unfreeze(params))
    return optimizers.OptimizerState(
      step=jnp.zeros((), jnp.int32),
      param_states=state_lib.flat_optimizer(state),
    )

  def apply_gradient(
    self,
    hyper_params: Any,
    params: Any,
    state: optimizers.OptimizerState,
    grads: Any,
  ) -> tuple[Any, optimizers.OptimizerState]:
    """Applies one update.

    Args:
      hyper_params: unused.
      params: parameters, frozen or plain.
      state: state from `init_state`.
      grads: gradients, in the structure of the parameters.

    Returns:
      Parameters of the same kind, and the next state.
    """
    del hyper_params
    plain = flax.core.unfreeze(params)
    like = jax.eval_shape(self._transformation.init, plain)
    updates, changed = self._transformation.update(
      flax.core.unfreeze(grads),
      state_lib.nested_optimizer(state.param_states, like),
      plain,
    )
    moved = optax.apply_updates(plain, updates)
    if isinstance(params, flax.core.FrozenDict):
      moved = flax.core.freeze(moved)
    return moved, optimizers.OptimizerState(
      step=state.step + 1, param_states=state_lib.flat_optimizer(changed)
    )

  def derive_logical_axes(
    self, optimizer: optimizers.Optimizer, param_logical_axes: Any
  ) -> optimizers.Optimizer:
    """Returns the names of all axes, for T5X's own partitioners.

    Args:
      optimizer: optimizer that holds shapes.
      param_logical_axes: a PartitionSpec of logical names for each parameter.
    """
    shapes = flax.core.unfreeze(optimizer.target)
    like = jax.eval_shape(self._transformation.init, shapes)
    names = state_lib.beside_parameters(
      like, shapes, flax.core.unfreeze(param_logical_axes), None
    )
    treedef: Any = jax.tree.structure(like)
    states = dict(
      zip(
        state_lib.flat_optimizer(like),
        # A plain flattening would drop the counters, which have no axes.
        treedef.flatten_up_to(names),
        strict=True,
      )
    )
    return optimizer.replace(
      state=optimizers.OptimizerState(step=None, param_states=states),
      target=param_logical_axes,
    )
