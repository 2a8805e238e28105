"""Keys of PyTorch checkpoints and parameters of the modules here.

A module of a published tokenizer names its parts after the original's, with two
underscores for a dot, so that a parameter's path says its key:
`decoder/up__0__block__1/conv1/kernel` is `decoder.up.0.block.1.conv1.weight`.
PyTorch stores (out, in, *taps), Flax (*taps, in, out).
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from videopoet_jax.core import errors

_LEAVES = {'kernel': 'weight', 'scale': 'weight'}
# Names in one message; a wrong file differs in hundreds.
_LISTED = 4


def key_of(path: tuple[str, ...]) -> str:
  """Returns a parameter's key in a PyTorch checkpoint."""
  *modules, leaf = path
  return '.'.join(
    [*(name.replace('__', '.') for name in modules), _LEAVES.get(leaf, leaf)]
  )


def _axes(path: tuple[str, ...], rank: int) -> tuple[int, ...]:
  """Order in which PyTorch has the axes of an array."""
  if path[-1] == 'kernel':
    return (rank - 1, rank - 2, *range(rank - 2))
  return tuple(range(rank))


def _entries(tree: Any) -> list[tuple[tuple[str, ...], Any]]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return [(tuple(part.key for part in path), leaf) for path, leaf in leaves]


def shapes_of(tree: Any) -> dict[str, tuple[int, ...]]:
  """Shapes of a PyTorch checkpoint, by key.

  Args:
    tree: nested dicts of arrays or of `jax.ShapeDtypeStruct`.
  """
  return {
    key_of(path): tuple(
      leaf.shape[axis] for axis in _axes(path, len(leaf.shape))
    )
    for path, leaf in _entries(tree)
  }


def to_state(params: Any) -> dict[str, np.ndarray]:
  """Returns the arrays of a PyTorch checkpoint from parameters."""
  return {
    key_of(path): np.ascontiguousarray(
      np.asarray(leaf).transpose(_axes(path, np.ndim(leaf)))
    )
    for path, leaf in _entries(params)
  }


def to_params(
  state: Mapping[str, np.ndarray],
  shapes: Any,
  what: str,
  ignored: Callable[[str], bool] = lambda key: False,
) -> dict[str, Any]:
  """Returns parameters from the arrays of a PyTorch checkpoint.

  Args:
    state: arrays by key.
    shapes: nested dicts of `jax.ShapeDtypeStruct`, those of the module.
    what: name of the kind of tokenizer, for the message.
    ignored: whether a key that the module does not have may be left out.

  Returns:
    Nested dicts of float32 arrays.

  Raises:
    CheckpointError: keys are missing, left over, or of another shape.
  """
  expected = shapes_of(shapes)
  missing = [key for key in expected if key not in state]
  surplus = [key for key in state if key not in expected and not ignored(key)]
  misshaped = [
    f'{key} {tuple(state[key].shape)} instead of {shape}'
    for key, shape in expected.items()
    if key in state and tuple(state[key].shape) != shape
  ]
  problems = [
    f'{len(names)} {problem} ({_listed(names)})'
    for problem, names in (
      ('missing', missing),
      ('of another shape', misshaped),
      ('not known', surplus),
    )
    if names
  ]
  if problems:
    raise errors.CheckpointError(
      f'these are not the weights of {what} with the sizes that were read from'
      f' them; of {len(expected)} arrays, {"; ".join(problems)}. Give the file'
      ' of another family with --from, or the settings of this one with --set.'
    )
  params: dict[str, Any] = {}
  for path, leaf in _entries(shapes):
    axes = _axes(path, len(leaf.shape))
    value = np.asarray(state[key_of(path)], np.float32)
    node = params
    for name in path[:-1]:
      node = node.setdefault(name, {})
    node[path[-1]] = np.ascontiguousarray(value.transpose(np.argsort(axes)))
  return params


def _listed(names: list[str]) -> str:
  more = len(names) - _LISTED
  return ', '.join(names[:_LISTED]) + (f' and {more} more' if more > 0 else '')


def count(tree: Any) -> int:
  """Number of parameters of a tree of arrays or shapes."""
  return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))
