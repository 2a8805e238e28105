"""Batches as pure functions of the step.

Nothing is drawn from a stream, so a resumed run needs no iterator state and the
next batch can be prepared in a thread.

Both protocols may have `read_part(index, count)`, which the loop calls before
the first batch: this host then reads part `index` of `count` of every batch.
Without it there are as many parts as hosts. Training batches that choose their
own size have `divide(parts)`, which the loop calls if gradients are accumulated
over parts of a batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.parallel import rules as rules_lib


class Batches(Protocol):
  """A data order that is a function of (seed, step)."""

  def units(self) -> tuple[str, ...]:
    """All compile units that `unit_at` can return."""

  def unit_at(self, step: int) -> str:
    """The unit of a step; must be fast, since it is called many steps ahead."""

  def batch(self, step: int) -> Mapping[str, np.ndarray]:
    """The batch of a step: this host's rows of one global order."""


class ValidationBatches(Protocol):
  """A few batches of each unit, the same ones each time."""

  def units(self) -> tuple[str, ...]:
    """The compile units to score; those of training, or some of them."""

  def batches(self, unit: str) -> Sequence[Mapping[str, np.ndarray]]:
    """This host's rows of a unit's batches."""


@runtime_checkable
class ReadInParts(Protocol):
  """Batches of which any part can be read."""

  def read_part(self, index: int, count: int) -> None:
    """From here on reads part `index` of `count` of every batch."""


@runtime_checkable
class Divisible(Protocol):
  """Batches that choose their own size."""

  def divide(self, parts: int) -> None:
    """Makes global batches divisible into `parts`."""


@runtime_checkable
class Sized(Protocol):
  """Batches that report their size."""

  def batch_sizes(self) -> Mapping[str, int]:
    """Number of examples in a global batch of each unit."""


@runtime_checkable
class Shaped(Protocol):
  """Batches that would have to open a reader to give an example."""

  def shapes(self, unit: str) -> Mapping[str, Any]:
    """This host's part of a batch: `jax.ShapeDtypeStruct`s, or arrays."""


@runtime_checkable
class Resumable(Protocol):
  """Batches that a checkpoint keeps something of."""

  def state(self) -> Mapping[str, Any]:
    """JSON values, such as what lets them refuse to go on with other data."""

  def restore(self, state: Mapping[str, Any]) -> None:
    """Takes over what `state` gave; UserError if that is impossible."""


def example(batches: Batches, unit: str, step: int) -> Mapping[str, Any]:
  """Returns a mapping with the shapes of a step's batch, to compile with.

  Args:
    batches: source of the batches; those that would have to open a reader for
      it have `shapes(unit)`, a mapping to `jax.ShapeDtypeStruct` or arrays.
    unit: the step's unit.
    step: a step of that unit.
  """
  if isinstance(batches, Shaped):
    return batches.shapes(unit)
  return batches.batch(step)


def read_part(
  batches: Batches | ValidationBatches, index: int, count: int
) -> None:
  """Makes batches read part `index` of `count` from here on.

  Raises:
    MeshError: they have no method for it, and would read another part.
  """
  hosts = jax.process_count()
  if isinstance(batches, ReadInParts):
    batches.read_part(index, count)
  elif count != hosts:
    raise errors.MeshError(
      f'the {hosts} hosts hold {count} part(s) of a batch, and '
      f'{type(batches).__name__} has no method read_part(index, count) to '
      'read one of them: write it, or set MeshConfig so that tensor x '
      'sequence lie within a host'
    )


def divide(batches: Batches, parts: int) -> None:
  """Makes batches choose sizes that are divisible by `parts`.

  Batches whose size the user set have no method for it.
  """
  if parts > 1 and isinstance(batches, Divisible):
    batches.divide(parts)


def sizes(batches: Batches) -> Mapping[str, int]:
  """Examples of a global batch by unit; none where the batches do not say."""
  return batches.batch_sizes() if isinstance(batches, Sized) else {}


def state(batches: Batches) -> Mapping[str, Any] | None:
  """What a checkpoint keeps of batches; None where that is nothing."""
  return batches.state() if isinstance(batches, Resumable) else None


def share(
  batches: Batches,
  validation: ValidationBatches | None,
  mesh: jax.sharding.Mesh,
  rules: rules_lib.Rules,
  accumulate: int,
) -> int:
  """Makes this host read the part of every batch that its devices hold.

  Args:
    batches: the training data.
    validation: the data to score, or None.
    mesh: the device mesh.
    rules: logical to mesh axes.
    accumulate: number of parts that gradients are accumulated over.

  Returns:
    The number of parts of a batch.

  Raises:
    MeshError: the batches cannot be read in such parts.
  """
  part, parts = rules_lib.part_of_batch(mesh, rules)
  for data in (batches, validation):
    if data is not None:
      read_part(data, part, parts)
  divide(batches, accumulate)
  return parts


def place(
  batch: Mapping[str, np.ndarray], sharding: jax.sharding.Sharding
) -> dict[str, jax.Array]:
  """Puts this host's rows of a batch on its devices.

  Args:
    batch: arrays (rows, ...).
    sharding: sharding of the global batch's rows.
  """
  return {
    name: jax.make_array_from_process_local_data(sharding, np.asarray(array))
    for name, array in batch.items()
  }


class First:
  """The first batches of training-like batches, as validation data."""

  def __init__(self, batches: Batches, number: int) -> None:
    """Takes the first `number` steps, which are read when needed."""
    self._batches = batches
    self._number = number
    self._kept: dict[str, list[Mapping[str, np.ndarray]]] = {}

  def read_part(self, index: int, count: int) -> None:
    """From here on reads part `index` of `count` of every batch."""
    read_part(self._batches, index, count)
    self._kept = {}

  def units(self) -> tuple[str, ...]:
    """The units that occur in those steps."""
    names = [self._batches.unit_at(step) for step in range(self._number)]
    return tuple(dict.fromkeys(names))

  def batches(self, unit: str) -> Sequence[Mapping[str, np.ndarray]]:
    """This host's rows of a unit's batches, kept in memory."""
    if unit not in self._kept:
      self._kept[unit] = [
        self._batches.batch(step)
        for step in range(self._number)
        if self._batches.unit_at(step) == unit
      ]
    return self._kept[unit]
