"""Everything that training changes, as one pytree."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

# Name of the averaged parameters among the items of a checkpoint.
EMA = 'ema'


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
  """The state of a run; a checkpoint holds all of it.

  Attributes:
    step: int32, steps done; the next batch's number.
    params: unboxed parameters.
    ema: moving average of them, None if the run keeps none.
    optimizer: the optimizer's state.
    skipped: int32, steps so far whose update was not finite.
    skipped_in_a_row: int32, of them the ones since the last good step.
  """

  step: jax.Array
  params: Any
  ema: Any
  optimizer: Any
  skipped: jax.Array
  skipped_in_a_row: jax.Array


def create(
  params: Any, optimizer: optax.GradientTransformation, keep_ema: bool
) -> TrainState:
  """Makes a fresh state around given parameters."""
  # Distinct buffers: the train step donates all of them.
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    ema=jax.tree.map(jnp.copy, params) if keep_ema else None,
    optimizer=optimizer.init(params),
    skipped=jnp.zeros((), jnp.int32),
    skipped_in_a_row=jnp.zeros((), jnp.int32),
  )


def inference_params(state: TrainState) -> Any:
  """The parameters for inference: the averaged ones if there are any."""
  return state.params if state.ema is None else state.ema


def to_items(state: TrainState) -> dict[str, Any]:
  """Returns a checkpoint's items: pytrees of plain nested dicts by name.

  The optimizer's state is a flat dict by path: its named tuples may move in a
  later version of Optax without making an old checkpoint unreadable.
  """
  items = {
    'params': state.params,
    'optimizer': flat_optimizer(state.optimizer)
    | {
      'step': state.step,
      'skipped': state.skipped,
      'skipped_in_a_row': state.skipped_in_a_row,
    },
  }
  if state.ema is not None:
    items[EMA] = state.ema
  return items


def flat_optimizer(state: Any) -> dict[str, Any]:
  """An optimizer's state as a flat dict by path, see `to_items`."""
  return {
    jax.tree_util.keystr(path, simple=True, separator=':'): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
  }


def nested_optimizer(saved: Mapping[str, Any], like: Any) -> Any:
  """The inverse of `flat_optimizer`; `like` gives the structure."""
  paths, treedef = jax.tree_util.tree_flatten_with_path(like)
  return treedef.unflatten(
    [
      saved[jax.tree_util.keystr(path, simple=True, separator=':')]
      for path, _ in paths
    ]
  )


def from_items(items: dict[str, Any], like: TrainState) -> TrainState:
  """The inverse of `to_items`; `like` gives the optimizer's structure."""
  saved = dict(items['optimizer'])
  return TrainState(
    step=saved['step'],
    params=items['params'],
    ema=items.get(EMA),
    optimizer=nested_optimizer(saved, like.optimizer),
    skipped=saved['skipped'],
    skipped_in_a_row=saved['skipped_in_a_row'],
  )


def shardings(
  shapes: TrainState, params: Any, replicated: jax.sharding.Sharding
) -> TrainState:
  """Returns the shardings of the whole state.

  Args:
    shapes: the state's shapes.
    params: the parameters' shardings.
    replicated: sharding of everything small.

  Returns:
    The state with a sharding in place of every array: the averaged parameters
    and every moment of the optimizer are sharded like their parameter.
  """
  everything_small: Any = replicated  # In place of arrays.
  return TrainState(
    step=everything_small,
    params=params,
    ema=None if shapes.ema is None else params,
    optimizer=beside_parameters(
      shapes.optimizer, shapes.params, params, replicated
    ),
    skipped=everything_small,
    skipped_in_a_row=everything_small,
  )


def beside_parameters(
  state: Any, shapes: Any, placed: Any, otherwise: Any
) -> Any:
  """Maps every moment of an optimizer to a value of its parameter.

  A moment belongs to the parameter whose path its own path ends with and whose
  shape it has.

  Args:
    state: the optimizer's state, or its shapes.
    shapes: shapes of the parameters.
    placed: value of each parameter, a sharding or names of axes.
    otherwise: value of all other leaves.
  """
  treedef: Any = jax.tree.structure(shapes)
  by_path = {
    tuple(map(str, path)): (leaf.shape, has)
    for (path, leaf), has in zip(
      jax.tree_util.tree_leaves_with_path(shapes),
      treedef.flatten_up_to(placed),
    )
  }

  def moment(path: Any, leaf: Any) -> Any:
    names = tuple(map(str, path))
    for start in range(len(names)):
      shape, has = by_path.get(names[start:], (None, None))
      if shape == leaf.shape:
        return has
    return otherwise

  return jax.tree_util.tree_map_with_path(moment, state)
