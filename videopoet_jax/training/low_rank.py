"""Adaptation by low-rank adapters (LoRA, Hu et al., arXiv 2106.09685).

The parameters of a `LowRankTrainable` are the adapters alone: gradients,
optimizer state, averages and saved steps are as small as they are. The base
stays frozen. It is passed to the programs of a step beside the parameters and
is stored once in the run's folder, `base/`, so that the folder is
self-contained: `checkpoints.export.load_params` reads it merged.
"""

from collections.abc import Callable, Iterator
import dataclasses
import math
import os
import pathlib
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.checkpoints import contents
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import folders
from videopoet_jax.checkpoints import manager
from videopoet_jax.checkpoints import opened
from videopoet_jax.checkpoints import tree as tree_lib
from videopoet_jax.core import errors
from videopoet_jax.core import low_rank
from videopoet_jax.layers import low_rank as layer
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.parallel import start
from videopoet_jax.training import adaptation
from videopoet_jax.training import trainable as trainable_lib

# Trainables that pass `layers.low_rank.variables` to their module.
KINDS = ('prefix_lm',)

_LAYERS = 'layers'
_HEADS = ('heads', 'kv_heads')


@dataclasses.dataclass(frozen=True)
class LowRankTrainable:
  """Trains only the adapters of a language model.

  Attributes:
    inner: model whose parameters stay frozen.
    config: matrices with adapters, and their rank.
  """

  inner: trainable_lib.Trainable
  config: low_rank.LowRankConfig

  def __post_init__(self) -> None:
    if self.inner.name not in KINDS:
      raise errors.ConfigError(
        f'train.low_rank is bound and the run trains a {self.inner.name}; only '
        f'the language model ({", ".join(KINDS)}) takes low-rank adapters'
      )

  @property
  def name(self) -> str:
    """Name in runs and checkpoints."""
    return self.inner.name

  def describe(self) -> dict[str, Any]:
    """JSON for the checkpoint: the model's, and the adapters' config."""
    return {
      **self.inner.describe(),
      low_rank.KEY: dataclasses.asdict(self.config),
    }

  def init_frozen(self, rng: jax.Array, batch: Any) -> Any:
    """The base's parameters, boxed; only their shapes are ever used."""
    return self.inner.init(rng, batch)

  def init(self, rng: jax.Array, batch: Any) -> Any:
    """Adapters, boxed: `b` is 0, so that the model begins as its base.

    Args:
      rng: random key for `a`.
      batch: see the inner trainable.

    Raises:
      ConfigError: the pattern matches no matrix, or the rank is too large.
    """
    base = jax.eval_shape(self.init_frozen, rng, batch)
    found: dict[str, Any] = {}
    for number, matrix in enumerate(matrices(base, self.config)):
      node = found
      for name in matrix.path[:-1]:
        node = node.setdefault(name, {})
      key = jax.random.fold_in(rng, number)
      node[matrix.path[-1]] = matrix.init(key, self.config.rank)
    return found

  def loss(
    self,
    params: Any,
    batch: trainable_lib.Batch,
    rng: jax.Array,
    step: jax.Array,
    unit: str,
  ) -> tuple[jax.Array, trainable_lib.Metrics]:
    """See `Trainable`; `params` is `layers.low_rank.Adapted`."""
    return self.inner.loss(self._scaled(params), batch, rng, step, unit)

  def validation_loss(
    self,
    params: Any,
    batch: trainable_lib.Batch,
    rng: jax.Array,
    unit: str,
  ) -> tuple[jax.Array, trainable_lib.Metrics]:
    """Scores as the inner trainable does; `params` as in `loss`."""
    return self.inner.validation_loss(self._scaled(params), batch, rng, unit)

  def _scaled(self, params: layer.Adapted) -> layer.Adapted:
    adapters = low_rank.scaled(params.adapters, self.config.scale)
    return params._replace(adapters=adapters)


@dataclasses.dataclass(frozen=True)
class Matrix:
  """A parameter that can have an adapter.

  Attributes:
    path: its place in the tree.
    shape: shape of the parameter.
    axes: logical name of each axis.
    layers: axes in front that count layers under a scan, 0 or 1.
    rows: axes after them that are summed over; the others are columns.
  """

  path: tuple[str, ...]
  shape: tuple[int, ...]
  axes: tuple[str | None, ...]
  layers: int
  rows: int

  @property
  def sides(self) -> tuple[int, int]:
    """Rows and columns of the matrix, heads and head_dim multiplied."""
    split = self.layers + self.rows
    return math.prod(self.shape[self.layers : split]), math.prod(
      self.shape[split:]
    )

  def init(self, rng: jax.Array, rank: int) -> dict[str, Any]:
    """Returns the adapter, boxed; each factor has the axes of its side.

    Args:
      rng: random key for `a`, normal with the variance of one over the rows.
      rank: rank of the adapter.
    """
    split = self.layers + self.rows
    lead = self.layers

    def boxed(init: Any, shape: Any, axes: Any) -> Any:
      return nn.with_logical_partitioning(init, axes)(rng, shape, jnp.float32)

    normal = nn.initializers.normal(1.0 / math.sqrt(self.sides[0]))
    return {
      low_rank.A: boxed(
        normal, (*self.shape[:split], rank), (*self.axes[:split], None)
      ),
      low_rank.B: boxed(
        nn.initializers.zeros,
        (*self.shape[:lead], rank, *self.shape[split:]),
        (*self.axes[:lead], None, *self.axes[split:]),
      ),
    }


def matrices(base: Any, config: low_rank.LowRankConfig) -> list[Matrix]:
  """The matrices of a model that a config gives adapters.

  Args:
    base: the model's parameters or their shapes, boxed.
    config: matrices with adapters, and their rank.

  Raises:
    ConfigError: there is none, or the rank is too large for one.
  """
  every = list(_all_matrices(base))
  found = [m for m in every if re.search(config.matrices, '/'.join(m.path))]
  if not found:
    names = dict.fromkeys('/'.join(matrix.path) for matrix in every)
    raise errors.ConfigError(
      f'LowRankConfig.matrices is {config.matrices!r}, which matches no matrix '
      f'of the model; its matrices are {", ".join(names)}'
    )
  for matrix in found:
    if config.rank >= min(matrix.sides):
      raise errors.ConfigError(
        f'LowRankConfig.rank is {config.rank} and {"/".join(matrix.path)} is a '
        f'matrix of {matrix.sides[0]} x {matrix.sides[1]}: the rank must be '
        'less than its smaller side; lower it, or leave the matrix out of '
        'LowRankConfig.matrices'
      )
  return found


def _all_matrices(base: Any) -> Iterator[Matrix]:
  axes = rules_lib.logical_axes(base)
  is_spec = lambda x: isinstance(x, jax.sharding.PartitionSpec)
  specs = jax.tree.leaves(axes, is_leaf=is_spec)
  leaves = jax.tree_util.tree_leaves_with_path(rules_lib.unbox(base))
  for (path, leaf), spec in zip(leaves, specs):
    names = tuple(spec)
    layers = 1 if names[:1] == (_LAYERS,) else 0
    own = names[layers:]
    parts = tuple(contents.path_name(path).split('/'))
    # A table is looked up row by row; the rest are vectors.
    if len(own) < 2 or parts[-1].endswith('table'):
      continue
    # Heads and the axis within a head are one side of a matrix.
    rows = 2 if own[0] in _HEADS else 1
    yield Matrix(parts, tuple(leaf.shape), names, layers, rows)


def check_start(
  trainable: trainable_lib.Trainable,
  run_dir: pathlib.Path,
  init_from: str | os.PathLike[str] | None,
) -> None:
  """Refuses adapters that cannot act, before the run's folder is written.

  Args:
    trainable: any trainable; without adapters there is nothing to check.
    run_dir: folder of the run.
    init_from: folder of the model to begin with.

  Raises:
    ConfigError: there is no base, no matrix or the rank is too large.
  """
  if not isinstance(trainable, LowRankTrainable):
    return
  if not init_from and not manager.complete_steps(run_dir):
    raise errors.ConfigError(
      'train.low_rank is bound and there is no --init_from: adapters are '
      'trained on a pretrained model; give its folder with --init_from, or '
      'leave train.low_rank unbound'
    )
  # A language model's parameters do not depend on the batch.
  base = jax.eval_shape(trainable.init_frozen, jax.random.key(0), None)
  matrices(base, trainable.config)


def begin_base(
  trainable: LowRankTrainable,
  run_dir: pathlib.Path,
  init_from: str | os.PathLike[str],
  shapes: Any,
  log: Callable[[str], None] = print,
) -> Any:
  """Reads a pretrained model and stores it in the run's folder.

  Args:
    trainable: trainable of the adapters.
    run_dir: folder of the run, which gets a folder `base`.
    init_from: folder of the pretrained model.
    shapes: its parameters' shapes, with shardings.
    log: receives a line for the screen, see `adaptation.load`.

  Returns:
    Its parameters on the devices.

  Raises:
    CheckpointError: it is another model, or the folder cannot be written.
  """
  description = trainable.inner.describe()
  params = adaptation.load(init_from, description, shapes, log)
  whole = start.to_host(params)
  if jax.process_index() == 0:
    folder = run_dir / folders.BASE
    describe.begin(folder)
    tree_lib.save_tree(folder / opened.PARAMS, whole)
    describe.write_description(folder, description)
  start.barrier('base of the adapters is written')
  return params


def resume_base(
  trainable: LowRankTrainable, run_dir: pathlib.Path, shapes: Any
) -> Any:
  """Reads the copy of `begin_base`, independent of the pretrained run."""
  return adaptation.load(
    run_dir / folders.BASE, trainable.inner.describe(), shapes
  )
