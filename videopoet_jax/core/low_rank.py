"""Low-rank adapters (LoRA, arXiv 2106.09685): their form and their merge.

An adapter of a matrix W is a pair of thin matrices: a (rows x rank) and b
(rank x columns). The model computes with W + scale * a b. The merge is here,
below layers and checkpoints, so that training and export compute the same sum.
"""

from collections.abc import Callable, Mapping
import dataclasses
import re
from typing import Any

import numpy as np

from videopoet_jax.core import errors

A, B = 'a', 'b'
# Key of a checkpoint's description; its value is a `LowRankConfig` as a dict.
KEY = 'low_rank'


@dataclasses.dataclass(frozen=True)
class LowRankConfig:
  """Which matrices of a frozen model get adapters, and of what rank.

  Attributes:
    rank: columns of a and rows of b; less than each matrix's smaller side.
    alpha: the product of a and b is scaled by `alpha / rank`, so that the
      learning rate may stay when the rank changes.
    matrices: pattern (`re.search`) for the paths of parameters. Matrices that
      it matches get adapters; tables, which are looked up row by row, and
      vectors stay frozen. The default takes attention, MLPs and the kernels of
      cell inputs; '.' takes every matrix.
  """

  rank: int = 8
  alpha: float = 8.0
  matrices: str = '/attention/|/mlp/|cell_inputs/'

  def __post_init__(self) -> None:
    if self.rank < 1:
      raise errors.ConfigError(
        f'LowRankConfig.rank is {self.rank}; it must be at least 1'
      )
    if not 0.0 < self.alpha < float('inf'):
      raise errors.ConfigError(
        f'LowRankConfig.alpha is {self.alpha}; it must be a positive number, '
        'with 0 nothing would be trained'
      )
    try:
      re.compile(self.matrices)
    except (re.error, TypeError) as error:
      raise errors.ConfigError(
        f'LowRankConfig.matrices is {self.matrices!r}, which is no pattern: '
        f'{error}'
      ) from error

  @property
  def scale(self) -> float:
    """Factor of the product of a and b."""
    return self.alpha / self.rank


def merge(
  kernel: Any,
  adapter: Mapping[str, Any],
  matmul: Callable[[Any, Any], Any] = np.matmul,
) -> Any:
  """Adds an adapter to its matrix.

  Args:
    kernel: the matrix, (*layers, *rows, *columns): rows and columns may each be
      several axes, such as heads and head_dim, and a scan over layers adds one
      axis in front.
    adapter: `a` (*layers, *rows, rank), already scaled, and `b`
      (*layers, rank, *columns).
    matmul: product of stacks of matrices, NumPy's or JAX's.

  Returns:
    kernel + a b, of the kernel's shape and type.
  """
  a, b = adapter[A], adapter[B]
  # a and b together have the kernel's axes, the layers' and the rank's twice.
  layers = a.shape[: a.ndim + b.ndim - 2 - kernel.ndim]
  rank = a.shape[-1]
  product = matmul(
    a.reshape(*layers, -1, rank), b.reshape(*layers, rank, -1)
  ).reshape(kernel.shape)
  return (kernel + product).astype(kernel.dtype)


def is_adapter(node: Any) -> bool:
  """Whether a node of a tree of adapters is the adapter of one matrix."""
  return isinstance(node, Mapping) and set(node) == {A, B}


def scaled(adapters: Any, scale: float) -> Any:
  """The tree with every `a` multiplied by the scale."""
  if is_adapter(adapters):
    a = adapters[A]
    return {A: a * np.asarray(scale, a.dtype), B: adapters[B]}
  return {name: scaled(inner, scale) for name, inner in adapters.items()}


def merge_tree(params: Any, adapters: Any, scale: float) -> Any:
  """Adds adapters to the matrices of a whole model, as numpy arrays.

  Args:
    params: nested dicts of the base's parameters.
    adapters: nested dicts of the same paths with an adapter in place of each
      adapted matrix; other paths are missing.
    scale: see `LowRankConfig.scale`.

  Returns:
    New nested dicts; arrays without an adapter are those of `params`.
  """
  merged = dict(params)
  for name, inner in adapters.items():
    if is_adapter(inner):
      merged[name] = merge(params[name], scaled(inner, scale))
    else:
      merged[name] = merge_tree(params[name], inner, scale)
  return merged
