"""Everything that training changes, as one pytree."""

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
  """A fresh state around given parameters."""
  # Distinct buffers: the train step gives all of them away.
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    ema=jax.tree.map(jnp.copy, params) if keep_ema else None,
    optimizer=optimizer.init(params),
    skipped=jnp.zeros((), jnp.int32),
    skipped_in_a_row=jnp.zeros((), jnp.int32),
  )


def inference_params(state: TrainState) -> Any:
  """The parameters to use a model with: the averaged ones if there are."""
  return state.params if state.ema is None else state.ema


def to_items(state: TrainState) -> dict[str, Any]:
  """What a checkpoint saves: pytrees of plain nested dicts by item name.

  The optimizer's state is a flat dict by path: its named tuples may move in a
  later version of Optax without an old checkpoint becoming unreadable.
  """
  items = {
    'params': state.params,
    'optimizer': {
      jax.tree_util.keystr(path, simple=True, separator=':'): leaf
      for path, leaf in jax.tree_util.tree_leaves_with_path(state.optimizer)
    }
    | {
      'step': state.step,
      'skipped': state.skipped,
      'skipped_in_a_row': state.skipped_in_a_row,
    },
  }
  if state.ema is not None:
    items[EMA] = state.ema
  return items


def from_items(items: dict[str, Any], like: TrainState) -> TrainState:
  """The inverse of `to_items`; `like` gives the optimizer's structure."""
  saved = dict(items['optimizer'])
  paths, treedef = jax.tree_util.tree_flatten_with_path(like.optimizer)
  leaves = [
    saved[jax.tree_util.keystr(path, simple=True, separator=':')]
    for path, _ in paths
  ]
  return TrainState(
    step=saved['step'],
    params=items['params'],
    ema=items.get(EMA),
    optimizer=treedef.unflatten(leaves),
    skipped=saved['skipped'],
    skipped_in_a_row=saved['skipped_in_a_row'],
  )


def shardings(
  shapes: TrainState, params: Any, replicated: jax.sharding.Sharding
) -> TrainState:
  """Where the whole state lives.

  Args:
    shapes: the state's shapes.
    params: the parameters' shardings.
    replicated: for everything small.

  Returns:
    The state with a sharding in place of every array: the averaged parameters
    and every moment of the optimizer lie where their parameter does.
  """
  by_path = {
    tuple(map(str, path)): (leaf.shape, sharding)
    for (path, leaf), sharding in zip(
      jax.tree_util.tree_leaves_with_path(shapes.params),
      jax.tree.leaves(params),
    )
  }

  def moment(path: Any, leaf: Any) -> jax.sharding.Sharding:
    names = tuple(map(str, path))
    for start in range(len(names)):
      shape, sharding = by_path.get(names[start:], (None, None))
      if shape == leaf.shape:
        return sharding
    return replicated

  return TrainState(
    step=replicated,
    params=params,
    ema=None if shapes.ema is None else params,
    optimizer=jax.tree_util.tree_map_with_path(moment, shapes.optimizer),
    skipped=replicated,
    skipped_in_a_row=replicated,
  )
