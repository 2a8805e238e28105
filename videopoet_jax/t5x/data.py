"""Feeds this project's batches to T5X's loop.

A batch here is a pure function of the step, and batches of different layouts
have different shapes. T5X's iterator therefore yields only numbers of steps,
and the trainer reads the batch of its current step: a resumed run needs no
state of the data.
"""

from collections.abc import Iterator, Mapping
import dataclasses
from typing import Any

from clu.data import dataset_iterator
import gin
import numpy as np

from videopoet_jax.t5x import converter
from videopoet_jax.t5x import experiment
from videopoet_jax.training import batches as batches_lib


class Steps(dataset_iterator.DatasetIterator):
  """Rows without contents, which T5X requests before every step."""

  def __init__(self, rows: int) -> None:
    """Stores the number of rows.

    Args:
      rows: number of this host's rows, which T5X divides among its devices.
    """
    self._rows = rows

  def __next__(self) -> dict[str, np.ndarray]:
    return {'step': np.zeros((self._rows,), np.int32)}

  @property
  def element_spec(self) -> dict[str, dataset_iterator.ArraySpec]:
    return {'step': dataset_iterator.ArraySpec(np.int32, (self._rows,))}

  def reset(self) -> None:
    """Does nothing: there is no state."""

  def save(self, filename: Any) -> None:
    """Does nothing: the step is the whole state."""

  def restore(self, filename: Any) -> None:
    """Does nothing, see `save`."""


@gin.register
def steps(
  cfg: Any,
  shard_id: int,
  num_shards: int,
  feature_converter_cls: Any = None,
  num_epochs: int | None = None,
  continue_from_last_checkpoint: bool = False,
) -> Steps:
  """T5X's `get_dataset_fn`; see the module.

  The data are those that `prefix_lm` binds, so only `num_shards` is used.

  Args:
    cfg: unused.
    shard_id: unused.
    num_shards: number of hosts that hold different rows.
    feature_converter_cls: unused.
    num_epochs: unused.
    continue_from_last_checkpoint: unused.
  """
  del cfg, shard_id, feature_converter_cls, num_epochs
  del continue_from_last_checkpoint
  mesh = experiment.current().mesh
  return Steps(mesh.size // num_shards)


@dataclasses.dataclass(frozen=True)
class ValidationSet:
  """The validation batches of one layout, for any number of passes.

  Attributes:
    batches: the validation batches of all layouts.
    unit: name of a layout.
  """

  batches: batches_lib.ValidationBatches
  unit: str

  def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
    for batch in self.batches.batches(self.unit):
      yield converter.mark(dict(batch), self.unit)

  @property
  def element_spec(self) -> Mapping[str, dataset_iterator.ArraySpec]:
    """Shapes and dtypes that T5X compiles with."""
    return {
      name: dataset_iterator.ArraySpec(array.dtype, array.shape)
      for name, array in next(iter(self)).items()
    }


@gin.register
def validation(
  cfg: Any,
  shard_id: int,
  num_shards: int,
  eval_steps: int = 0,
  feature_converter_cls: Any = None,
) -> dict[str, ValidationSet]:
  """T5X's `train_eval_get_dataset_fn`: the validation data of `prefix_lm`.

  Args:
    cfg: unused.
    shard_id: unused.
    num_shards: unused.
    eval_steps: unused.
    feature_converter_cls: unused.

  Returns:
    Batches by the name of a layout with underscores; none if the run does not
    validate.
  """
  del cfg, shard_id, num_shards, eval_steps, feature_converter_cls
  made = experiment.current()
  batches = made.parts.validation
  if batches is None or not made.loop.validate_every:
    return {}
  return {
    unit.replace('/', '_'): ValidationSet(batches, unit)
    for unit in batches.units()
  }
