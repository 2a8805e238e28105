"""Batches of tokens for the language model, as pure functions of the step."""

from collections.abc import Callable, Mapping, Sequence
import math
import threading
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.data import agd
from videopoet_jax.data import converter as converter_lib
from videopoet_jax.data import preprocessors as preprocessors_lib
from videopoet_jax.data import records as records_lib
from videopoet_jax.data import registry
from videopoet_jax.data import sets as sets_lib
from videopoet_jax.data import source as source_lib
from videopoet_jax.data import stream as stream_lib

TRAIN = 'train'
VALIDATION = 'validation'

Batch = stream_lib.Batch


def with_text(layout: layout_lib.SequenceLayout) -> bool:
  """Whether a layout has slots of text."""
  return any(fill.feature == 'text' for fill in layout.fills)


class LayoutReader:
  """The global batches of one layout, from any one on.

  The batch at index n holds the examples at positions n x size to
  (n + 1) x size - 1 of the layout's stream, this host's part of them.
  """

  def __init__(
    self,
    layout: layout_lib.SequenceLayout,
    task: seqio.Task,
    directories: Sequence[str],
    *,
    batch_size: int,
    split: str,
    shuffle: bool,
    seed: int,
    drop: Mapping[str, float],
    text_embeddings: bool = False,
    own_steps: bool = True,
  ) -> None:
    """Checks that the data fill the layout; reads nothing yet.

    Args:
      layout: to be filled.
      task: the registered task.
      directories: of the token data sets that fill the layout, mixed in
        proportion to their examples.
      batch_size: examples of a global batch.
      split: of the data set.
      shuffle: whether the stream is permuted.
      seed: of the order and of what is dropped.
      drop: see `converter.LayoutFeatureConverter`.
      text_embeddings: whether batches of a layout with text carry the feature
        of that name.
      own_steps: whether the task has preprocessors besides tokenizing text.

    Raises:
      DataError: the data set or a feature is missing, or does not fit.
    """
    self.layout = layout
    self.batch_size = batch_size
    self._task = task
    self._directories = tuple(directories)
    self._where = ', '.join(self._directories)
    self._split = split
    self._shuffle = shuffle
    self._seed = seed
    self._shard = source_lib.WHOLE
    text_embeddings = text_embeddings and with_text(layout)
    passthrough = {source_lib.POSITION: converter_lib.Spec(tf.int64, rank=0)}
    if text_embeddings:
      name = converter_lib.TEXT_EMBEDDINGS
      passthrough[name] = converter_lib.Spec(tf.float32, rank=2)
    self._converter = converter_lib.LayoutFeatureConverter(
      layout, drop, passthrough
    )
    ranges = [r.range for r in layout.runs]
    sizes = [r.stop - r.start for r in layout.runs]
    self._low_L = np.repeat([r.start for r in ranges], sizes)
    self._high_L = np.repeat([r.stop for r in ranges], sizes)
    self._stream = stream_lib.Stream(
      self._open, f'{layout.name}: {self._where}'
    )
    self._records = records_lib.open_joined(self._directories)
    self._records.size(split)
    self._features: tuple[str, ...] | None = None
    if not own_steps:
      # Preprocessors may read anything; without them, parse what is needed.
      needed = [f.feature for f in layout.fills]
      if text_embeddings:
        needed += [converter_lib.TEXT_EMBEDDINGS, converter_lib.TEXT_USED]
      for directory in self._directories:
        records = records_lib.open_records(directory)
        shapes = {name: records.shape(name) for name in records.features}
        self._check_shapes(shapes, directory)
      self._features = tuple(dict.fromkeys(needed))

  def _check_shapes(
    self, shapes: dict[str, tuple[int | None, ...]], where: str
  ) -> None:
    """DataError where features of these shapes do not fill the layout."""
    if shapes.get('text') == ():
      shapes['text'] = (None,)  # A string that becomes ids.
    converter_lib.check_shapes(self.layout, shapes, where)

  def _source(self, start: int = 0) -> source_lib.IndexedSource:
    return self._task.source.replace(
      directory=self._directories,
      features=self._features,
      stream=self.layout.name,
      batch_size=self.batch_size,
      start=start,
    )

  @property
  def rows(self) -> int:
    """Examples of this host's part of a batch."""
    return self.batch_size // self._shard.num_shards

  def check_examples(self) -> None:
    """Raises NoExamplesError where none of the split passes the filter."""
    try:
      self._source().order(self._split, self._seed, self._shuffle)
    except errors.NoExamplesError as error:
      raise errors.NoExamplesError(f'task {self.layout.task!r}: {error}') from (
        error
      )

  def has_examples(self) -> bool:
    """Whether any example of the split passes the task's filter."""
    try:
      self.check_examples()
    except errors.NoExamplesError:
      return False
    return True

  def dataset(self, start: int) -> tf.data.Dataset:
    """This host's examples from global batch `start` on, endless."""
    return seqio.get_dataset(
      self._task.replace(source=self._source(start)),
      task_feature_lengths=self._converter.task_feature_lengths(),
      feature_converter=self._converter,
      dataset_split=self._split,
      shuffle=self._shuffle,
      seed=self._seed,
      shard_info=self._shard,
      trim_output_features=False,
      verbose=False,
    )

  def _open(self, start: int) -> tf.data.Dataset:
    return self.dataset(start).batch(self.rows, drop_remainder=True)

  def close(self) -> None:
    """Lets go of the open stream; a later `read` opens another."""
    self._stream.close()

  def read_part(self, index: int, count: int) -> None:
    """Reads this one of so many parts of every batch from here on."""
    self._shard = seqio.ShardInfo(index, count)
    self._stream.close()

  def resize(self, batch_size: int) -> None:
    """Makes global batches of another size from here on."""
    self.batch_size = batch_size
    self._stream.close()

  def read(self, batch: int) -> Batch:
    """This host's part of a global batch.

    Args:
      batch: its number; the one after the last read is ready, another one
        opens the stream anew.

    Returns:
      tokens int32 (B, L), visible bool (B, L) and what else was asked for.

    Raises:
      DataError: a record is damaged, an id does not fit the layout, or a
        preprocessor is not one-to-one.
    """
    try:
      arrays = self._stream.read(batch)
    except errors.DataError as error:
      raise self._named(batch, error) from error
    self._check(arrays, batch)
    return arrays

  def _record(self, position: int) -> int:
    """Number of the record at a position of the stream."""
    source = self._source()
    order = source.order(self._split, self._seed, self._shuffle)
    return int(source.numbers(self._split, order, np.array([position]))[0])

  def _named(self, batch: int, error: errors.DataError) -> errors.DataError:
    """An error of reading a batch, with the record that it is about."""
    for position in source_lib.host_positions(
      batch, self.batch_size, self._shard.index, self._shard.num_shards
    ):
      index = self._record(position)
      place = self._records.place(self._split, index)
      try:
        schema = self._records.schema(self._features)
        example = schema.deserialize_example_np(
          self._records.read(self._split, [index])[0]
        )
      except Exception as reason:  # Whatever TFDS raises of a damaged record.
        said = ' '.join(str(reason).split())[:300]
        return errors.DataError(
          f'{place} does not hold what its data set says ({said}); write the '
          'set again with `videopoet tokenize`.'
        )
      if self._features is not None:
        shapes = {name: np.shape(value) for name, value in example.items()}
        try:
          self._check_shapes(shapes, place)
        except errors.DataError as misfit:
          return misfit
    return error

  def _check(self, arrays: Batch, batch: int) -> None:
    positions = arrays.pop(source_lib.POSITION)
    expected = source_lib.host_positions(
      batch, self.batch_size, self._shard.index, self._shard.num_shards
    )
    if not np.array_equal(positions, expected):
      raise errors.DataError(
        f'task {self.layout.task!r}: its preprocessors are not one-to-one '
        f'(batch {batch} should hold positions from {expected[0]} on, it holds '
        f'{positions[:4]}...). To leave examples out, use Task.minimum or '
        'Task.predicate.'
      )
    tokens = arrays['tokens']
    outside = (tokens < self._low_L) | (tokens >= self._high_L)
    if outside.any():
      row, position = np.argwhere(outside)[0]
      run = next(r for r in self.layout.runs if r.start <= position < r.stop)
      raise errors.DataError(
        f'{self.layout.name}: segment {run.segment!r} holds local id '
        f'{tokens[row, position] - run.range.start} in '
        f'{self._records.place(self._split, self._record(expected[row]))}; the '
        f'vocabulary admits 0 to {run.range.size - 1}.'
      )


class TokenBatches:
  """Training batches: a step draws a group, then a layout, then its examples.

  Everything is a pure function of (seed, step). Position within a layout is
  the number of earlier steps that drew it; those counters are kept for the
  last step asked for and stored in checkpoints only to save counting again.
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
      tasks: of the run (`registry.load_tasks`).
      layouts: of those tasks.
      tokens: token data sets of the tasks that have none of their own, see
        `sets.TokenSets`.
      tokens_per_batch: positions of a global batch, the same for all layouts.
      schedule: how the mixture changes during the run.
      seed: of the draws and the order.
      text: the text tokenizer, `bytes` or the path of a SentencePiece model.
      weights: by layout, task or clip size, see `layout_weights`.
      multiple: global batches are a multiple of this, such as the devices.
      text_embeddings: whether batches carry stored text embeddings, which
        then also tell the used slots; `text` does not matter.

    Raises:
      ConfigError: tasks, layouts or weights do not go together.
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
    """Names of the layouts: each is compiled once."""
    return tuple(layout.name for layout in self._mixture.layouts)

  def unit_at(self, step: int) -> str:
    """Name of the layout that a step trains."""
    return self._mixture.layouts[self._mixture.at(step)].name

  def read_part(self, index: int, count: int) -> None:
    """Reads this one of so many parts of every batch from here on."""
    with self._lock:
      for reader in self._readers:
        reader.read_part(index, count)

  def divide(self, parts: int) -> None:
    """Makes global batches that divide into so many parts for the devices.

    Args:
      parts: of a batch, run one after the other.
    """
    with self._lock:
      self._multiple *= parts
      size = _sizing(self._tokens_per_batch, self._multiple)
      for reader in self._readers:
        reader.resize(size(reader.layout))

  def rows(self, unit: str) -> int:
    """Examples of this host's part of a batch of a layout."""
    return self._readers[self.units().index(unit)].rows

  def batch_sizes(self) -> dict[str, int]:
    """Examples of a global batch of each layout."""
    return {reader.layout.name: reader.batch_size for reader in self._readers}

  def batch(self, step: int) -> Batch:
    """This host's part of the batch of a step.

    Args:
      step: any; the next one of each layout is being read ahead already.

    Returns:
      tokens int32 (B, L) and visible bool (B, L), L of the step's layout, and
      text_embeddings float32 (B, S, D) where asked for, if L has text.

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
    """Takes over a checkpoint's counters and sizes of batches.

    Sizes are rounded by the number of devices, and a position is a number of
    batches: on another number the checkpoint's sizes go on.

    Raises:
      ConfigError: the run has another seed or other layouts, or devices that
        cannot share its batches, so it would not go on where the checkpoint
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
    left_out: names of layouts of which the split holds no example.
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

    A small data set may have no held-out clip with sound, say: layouts of which
    the split holds no example are left out.

    Args:
      tasks: of the run.
      layouts: of those tasks.
      tokens: the token data sets, see `sets.TokenSets`.
      batch_size: examples of a global batch.
      batches: of each layout.
      split: of the data set.
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
    """Reads this one of so many parts of every batch from here on."""
    for reader in self._readers:
      reader.read_part(index, count)
    self._kept = {}

  def units(self) -> tuple[str, ...]:
    return tuple(reader.layout.name for reader in self._readers)

  def batches(self, unit: str) -> tuple[Batch, ...]:
    """The batches of a layout; read once, then kept in memory."""
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
  """Examples of a global batch of a layout."""
  return lambda layout: layout_lib.examples_per_batch(
    layout, tokens_per_batch, multiple
  )


def adopt_sizes(
  readers: Mapping[str, Any], saved: Mapping[str, int], multiple: int
) -> None:
  """Gives readers the sizes of batches that a checkpoint was trained with.

  Args:
    readers: by unit, with `batch_size` and `resize`.
    saved: examples of a global batch by unit; empty where a checkpoint does
      not say.
    multiple: what every batch has to be a multiple of.

  Raises:
    ConfigError: a batch is not.
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
  """The weight of each layout: its own, or its part of its task's.

  A task's rate is divided among its layouts: evenly, or in proportion to the
  weights of their clip sizes. So weights of sizes move steps from one size of a
  task to another and leave the tasks' shares alone.

  Args:
    tasks: of the run.
    layouts: of those tasks.
    weights: in any unit, by the name of a task (in place of its rate), of a
      layout (in place of its part of that), or of a clip size such as
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
) -> tuple[LayoutReader, ...]:
  """Registers the tasks of some layouts and makes a reader of each layout."""
  readers = []
  directories = sets.assign(tasks, layouts)
  for layout in layouts:
    task = registry.by_name(tasks, layout.task)
    mine = [other for other in layouts if other.task == layout.task]
    readers.append(
      LayoutReader(
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
