"""One call of training: what its parts share."""

from collections.abc import Callable, Mapping
import dataclasses
import functools
import pathlib
from typing import Any

import jax
from jax.sharding import NamedSharding
import numpy as np

from videopoet_jax.checkpoints import manager as manager_lib
from videopoet_jax.core import errors
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.training import batches as batches_lib
from videopoet_jax.training import loop_config
from videopoet_jax.training import optimizers
from videopoet_jax.training import trainable as trainable_lib


@dataclasses.dataclass(frozen=True)
class Setup:
  """What a run trains, on what, how and where.

  Attributes:
    trainable: the model and its loss.
    batches: the training data; this host's share of every batch.
    validation: data to score during training.
    config: length, saving and logging.
    optimizer: the optimizer and its rates.
    mesh: devices in use.
    rules: logical to mesh axes.
    run_dir: folder of the run.
    checkpoints: saves and restores in it.
    log: receives lines for the screen.
    parts: number of shares of a batch; this host reads one of them.
  """

  trainable: trainable_lib.Trainable
  batches: batches_lib.Batches
  validation: batches_lib.ValidationBatches | None
  config: loop_config.LoopConfig
  optimizer: optimizers.OptimizerConfig
  mesh: jax.sharding.Mesh
  rules: rules_lib.Rules
  run_dir: pathlib.Path
  checkpoints: manager_lib.Manager
  log: Callable[[str], None]
  parts: int

  @functools.cached_property
  def batch_sharding(self) -> NamedSharding:
    """Where the rows of a batch lie."""
    return rules_lib.batch_sharding(self.mesh, self.rules)

  def check_size(self, unit: str, batch: Mapping[str, Any]) -> None:
    """Raises ConfigError or MeshError where a batch cannot be divided."""
    size = next(iter(batch.values())).shape[0] * self.parts
    rules_lib.check_batch(size, self.mesh, self.rules)
    accumulate = self.optimizer.accumulate
    if size % accumulate:
      raise errors.ConfigError(
        f'OptimizerConfig.accumulate is {accumulate}: it must divide the '
        f'batch of {size} examples of unit {unit!r}'
      )
    rules_lib.check_batch(size // accumulate, self.mesh, self.rules)

  def place(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Puts this host's rows of a batch on its devices."""
    return batches_lib.place(batch, self.batch_sharding)

  def place_shape(self, array: Any) -> jax.ShapeDtypeStruct:
    """Shape of the global array that this host's part belongs to."""
    return jax.ShapeDtypeStruct(
      (array.shape[0] * self.parts, *array.shape[1:]),
      array.dtype,
      sharding=self.batch_sharding,
    )
