"""Batches of tokens for the language model, as pure functions of the step."""

from collections.abc import Callable, Mapping, Sequence
import math
import threading
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.data import agd
from videopoet_jax.data import batch_reader as batch_reader_lib
from videopoet_jax.data import layout_reader
from videopoet_jax.data import preprocessors as preprocessors_lib
from videopoet_jax.data import registry
from videopoet_jax.data import sets as sets_lib

TRAIN = 'train'
VALIDATION = 'validation'

Batch = batch_reader_lib.Batch


class TokenBatches:
  """Training batches: a step draws a group, then a layout, then its examples.

  Everything is a pure function of (seed, step). Position within a layout is
  the number of earlier steps that drew it; those counters are kept for the
  last requested step and stored in checkpoints only to save counting again.
  """

  def __init__(
    self,
    tasks: Sequence[registry.Task],
    layouts: Sequence[layout_lib.SequenceLayout],
    tokens: str | Sequence[str] | sets_lib.TokenSets,
    *,
    tokens_per_batch: int,
    schedule: agd.MixtureSchedule,
    seed: int = 0,
    text: str = preprocessors_lib.BYTES,
    weights: Mapping[str, float] | None = None,
    multiple: int = 1,
    text_embeddings: bool = False,
  ) -> None:
    """Checks everything that can be checked before the first step.

    Args:
      tasks: tasks of the run (`registry.load_tasks`).
      layouts: layouts of those tasks.
      tokens: token data sets for tasks without one of their own, see
        `sets.TokenSets`.
      tokens_per_batch: positions of a global batch, the same for all layouts.
      schedule: how the mixture changes during the run.
      seed: seed of the draws and the order.
      text: the text tokenizer, `bytes` or the path of a SentencePiece model.
      weights: weights by layout, task or clip size, see `layout_weights`.
      multiple: global batches are a multiple of this, such as the devices.
      text_embeddings: whether batches carry stored text embeddings, which then
        also mark the used slots; `text` is ignored.

    Raises:
      ConfigError: tasks, layouts or weights do not match.
      DataError: a data set is missing, or does not fill a layout.
      NoExamplesError: it has no training example for a task.
    """
    weights = layout_weights(tasks, layouts, weights or {})
    self._multiple = multiple
    self._tokens_per_batch = tokens_per_batch
    self._mixture = agd.Mixture(layouts, weights, schedule, seed)
    self._readers = _readers(
      tasks,
      layouts,
      sets_lib.open_sets(tokens),
      batch_size=_sizing(tokens_per_batch, self._multiple),
      split=TRAIN,
      shuffle=True,
      seed=seed,
      text=text,
      text_embeddings=text_embeddings,
    )
    for reader in self._readers:
      reader.check_examples()
    self._seed = seed
    self._lock = threading.Lock()
    self._step = 0
    self._counts = np.zeros(len(layouts), np.int64)

  @property
  def mixture(self) -> agd.Mixture:
    return self._mixture

  def units(self) -> tuple[str, ...]:
    """Names of the layouts; each is compiled once."""
    return tuple(layout.name for layout in self._mixture.layouts)

  def unit_at(self, step: int) -> str:
    """Name of the layout that a step trains."""
    return self._mixture.layouts[self._mixture.at(step)].name

  def read_part(self, index: int, count: int) -> None:
    """From here on reads part `index` of `count` of every batch."""
    with self._lock:
      for reader in self._readers:
        reader.read_part(index, count)

  def divide(self, parts: int) -> None:
    """Makes global batches that divide into a number of parts for the devices.

    Args:
      parts: number of parts of a batch, run one after the other.
    """
    with self._lock:
      self._multiple *= parts
      size = _sizing(self._tokens_per_batch, self._multiple)
      for reader in self._readers:
        reader.resize(size(reader.layout))

  def rows(self, unit: str) -> int:
    """Number of examples in this host's part of a batch of a layout."""
    return self._readers[self.units().index(unit)].rows

  def batch_sizes(self) -> dict[str, int]:
    """Number of examples in a global batch of each layout."""
    return {reader.layout.name: reader.batch_size for reader in self._readers}

  def batch(self, step: int) -> Batch:
    """Returns this host's part of the batch of a step.

    Args:
      step: any step; the next one of each layout is read ahead.

    Returns:
      tokens int32 (B, L) and visible bool (B, L), L of the step's layout, and
      text_embeddings float32 (B, S, D) if requested and if L has text.

    Raises:
      DataError: see `LayoutReader.read`.
    """
    with self._lock:
      self._count_to(step)
      index = self._mixture.at(step)
      return self._readers[index].read(int(self._counts[index]))

  def _count_to(self, step: int) -> None:
    if step < self._step:
      self._step, self._counts = 0, np.zeros_like(self._counts)
    self._counts = self._counts + self._mixture.counts(self._step, step)
    self._step = step

  def state(self) -> dict[str, Any]:
    """JSON for a checkpoint: batches of each layout before the last step."""
    with self._lock:
      counts = dict(zip(self.units(), self._counts.tolist()))
      return {
        'seed': self._seed,
        'step': self._step,
        'counts': counts,
        'batch_sizes': self.batch_sizes(),
      }

  def restore(self, state: Mapping[str, Any]) -> None:
    """Restores a checkpoint's counters and batch sizes.

    Sizes are rounded to the number of devices, and a position is a number of
    batches: on another number of devices the checkpoint's sizes stay in use.

    Raises:
      ConfigError: the run has another seed or other layouts, or devices that
        cannot share its batches, so it would not continue where the checkpoint
        stopped.
    """
    theirs = dict(state['counts'])
    if state['seed'] != self._seed or set(theirs) != set(self.units()):
      odd = sorted(set(theirs) ^ set(self.units()))
      raise errors.ConfigError(
        f'the checkpoint was trained with seed {state["seed"]} and '
        f'{len(theirs)} layouts, this run has seed {self._seed} and '
        f'{len(self.units())}; they differ in {odd or "the seed"}. Start a new '
        'run from it with --init_from to change the data.'
      )
    with self._lock:
      readers = dict(zip(self.units(), self._readers, strict=True))
      adopt_sizes(readers, state.get('batch_sizes', {}), self._multiple)
      self._step = int(state['step'])
      self._counts = np.array([theirs[name] for name in self.units()])


class ValidationBatches:
  """The same few batches of each layout every time, in the order on disk.

  Attributes:
    left_out: names of layouts that have no example in the split.
  """

  def __init__(
    self,
    tasks: Sequence[registry.Task],
    layouts: Sequence[layout_lib.SequenceLayout],
    tokens: str | Sequence[str] | sets_lib.TokenSets,
    *,
    batch_size: int,
    batches: int = 1,
    split: str = VALIDATION,
    text: str = preprocessors_lib.BYTES,
    text_embeddings: bool = False,
  ) -> None:
    """See `TokenBatches`; nothing is dropped from conditions here.

    A small data set may, for example, have no held-out clip with sound: layouts
    without an example in the split are left out.

    Args:
      tasks: tasks of the run.
      layouts: layouts of those tasks.
      tokens: the token data sets, see `sets.TokenSets`.
      batch_size: examples of a global batch.
      batches: number of batches of each layout.
      split: split of the data set.
      text: the text tokenizer.
      text_embeddings: whether batches carry stored text embeddings.
    """
    self._number = batches
    readers = _readers(
      tasks,
      layouts,
      sets_lib.open_sets(tokens),
      batch_size=lambda layout: batch_size,
      split=split,
      shuffle=False,
      seed=0,
      text=text,
      text_embeddings=text_embeddings,
      dropping=False,
    )
    self._readers = tuple(r for r in readers if r.has_examples())
    self.left_out = tuple(
      r.layout.name for r in readers if r not in self._readers
    )
    self._kept: dict[str, tuple[Batch, ...]] = {}

  def read_part(self, index: int, count: int) -> None:
    """From here on reads part `index` of `count` of every batch."""
    for reader in self._readers:
      reader.read_part(index, count)
    self._kept = {}

  def units(self) -> tuple[str, ...]:
    return tuple(reader.layout.name for reader in self._readers)

  def batches(self, unit: str) -> tuple[Batch, ...]:
    """The batches of a layout, read once and then kept in memory."""
    if unit not in self._kept:
      names = self.units()
      if unit not in names:
        hint = errors.near_names(unit, names)
        raise errors.ConfigError(f'no validation layout {unit!r}{hint}.')
      reader = self._readers[names.index(unit)]
      self._kept[unit] = tuple(reader.read(n) for n in range(self._number))
      reader.close()
    return self._kept[unit]


def _sizing(
  tokens_per_batch: int, multiple: int
) -> Callable[[layout_lib.SequenceLayout], int]:
  """Number of examples in a global batch of a layout."""
  return lambda layout: layout_lib.examples_per_batch(
    layout, tokens_per_batch, multiple
  )


def adopt_sizes(
  readers: Mapping[str, Any], saved: Mapping[str, int], multiple: int
) -> None:
  """Sets readers to the batch sizes that a checkpoint was trained with.

  Args:
    readers: readers by unit, with `batch_size` and `resize`.
    saved: examples of a global batch by unit; empty if a checkpoint does not
      record them.
    multiple: number that every batch size has to be a multiple of.

  Raises:
    ConfigError: a batch size is not.
  """
  for name, size in saved.items():
    if size % multiple:
      raise errors.ConfigError(
        f'the checkpoint was trained with batches of {size} examples of '
        f'{name}, which cannot be shared evenly among {multiple} (devices x '
        'OptimizerConfig.accumulate). Resume with numbers whose product '
        f'divides {math.gcd(*saved.values())}, or start a new run from it with '
        '--init_from. A run that is to resume on up to N devices begins with '
        'batch_multiple=N (prefix_lm, super_resolution).'
      )
  for name, size in saved.items():
    if readers[name].batch_size != size:
      readers[name].resize(size)


def layout_weights(
  tasks: Sequence[registry.Task],
  layouts: Sequence[layout_lib.SequenceLayout],
  weights: Mapping[str, float],
) -> dict[str, float]:
  """Returns the weight of each layout: its own, or its part of its task's.

  A task's rate is divided among its layouts: evenly, or in proportion to the
  weights of their clip sizes. So weights of sizes move steps from one size of a
  task to another and leave the tasks' shares alone.

  Args:
    tasks: tasks of the run.
    layouts: layouts of those tasks.
    weights: weights in any unit, by the name of a task (replaces its rate), of
      a layout (replaces its part of that), or of a clip size such as
      `41x224x128` (1 unless given).

  Raises:
    ConfigError: a weight names no task, layout or clip size of the run, or is
      negative.
  """
  sizes = {
    layout.name: tasks_lib.clip_text(tasks_lib.clip_of(layout.name))
    for layout in layouts
  }
  known = {*sizes, *sizes.values(), *(layout.task for layout in layouts)}
  for name, weight in weights.items():
    if name not in known:
      hint = errors.near_names(name, known)
      raise errors.ConfigError(
        f'a weight is given for {name!r}, which is neither a task, a layout '
        f'nor a clip size of this run{hint}.'
      )
    if weight < 0:
      raise errors.ConfigError(
        f'the weight of {name!r} is {weight}; expected 0 or more.'
      )
  of_size = {n: float(weights.get(size, 1.0)) for n, size in sizes.items()}
  found = {}
  for layout in layouts:
    task = registry.by_name(tasks, layout.task)
    among = sum(of_size[la.name] for la in layouts if la.task == layout.task)
    rate = float(weights.get(layout.task, task.rate))
    shared = rate * of_size[layout.name] / among if among else 0.0
    found[layout.name] = float(weights.get(layout.name, shared))
  return found


def _readers(
  tasks: Sequence[registry.Task],
  layouts: Sequence[layout_lib.SequenceLayout],
  sets: sets_lib.TokenSets,
  *,
  batch_size: Callable[[layout_lib.SequenceLayout], int],
  split: str,
  shuffle: bool,
  seed: int,
  text: str,
  text_embeddings: bool,
  dropping: bool = True,
) -> tuple[layout_reader.LayoutReader, ...]:
  """Registers the tasks of some layouts and makes a reader of each layout."""
  readers = []
  directories = sets.assign(tasks, layouts)
  for layout in layouts:
    task = registry.by_name(tasks, layout.task)
    mine = [other for other in layouts if other.task == layout.task]
    readers.append(
      layout_reader.LayoutReader(
        layout,
        registry.register(
          task, mine, preprocessors_lib.EMBEDDINGS if text_embeddings else text
        ),
        directories[layout.name],
        batch_size=batch_size(layout),
        split=split,
        shuffle=shuffle,
        seed=seed,
        drop=dict(task.drop) if dropping else {},
        text_embeddings=text_embeddings,
        own_steps=bool(task.preprocessors),
      )
    )
  return tuple(readers)
