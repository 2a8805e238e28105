"""Reads the batches of one layout from token data sets, from any one on."""

from collections.abc import Mapping, Sequence

import numpy as np
import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.data import batch_reader as batch_reader_lib
from videopoet_jax.data import converter as converter_lib
from videopoet_jax.data import records as records_lib
from videopoet_jax.data import source as source_lib

Batch = batch_reader_lib.Batch


def with_text(layout: layout_lib.SequenceLayout) -> bool:
  """Whether a layout has slots of text."""
  return any(fill.feature == 'text' for fill in layout.fills)


def check_directories(
  layout: layout_lib.SequenceLayout, directories: Sequence[str]
) -> None:
  """Checks that the records of token data sets fill a layout as they are.

  Args:
    layout: layout to fill.
    directories: directories of the data sets.

  Raises:
    DataError: a data set or a feature is missing, or a shape is wrong.
  """
  for directory in directories:
    records = records_lib.open_records(directory)
    shapes = {name: records.shape(name) for name in records.features}
    _check_stored(layout, shapes, directory)


def _check_stored(
  layout: layout_lib.SequenceLayout,
  shapes: dict[str, tuple[int | None, ...]],
  where: str,
) -> None:
  """Raises DataError if features of these shapes do not fill a layout."""
  if shapes.get('text') == ():
    shapes['text'] = (None,)  # A string that becomes ids.
  converter_lib.check_shapes(layout, shapes, where)


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
      layout: layout to fill.
      task: the registered task.
      directories: directories of the token data sets that fill the layout,
        mixed in proportion to their examples.
      batch_size: examples of a global batch.
      split: split of the data set.
      shuffle: whether the stream is permuted.
      seed: seed of the order and of the dropped conditions.
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
    self._stream = batch_reader_lib.Stream(
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
      check_directories(layout, self._directories)
      self._features = tuple(dict.fromkeys(needed))

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
    """Number of examples in this host's part of a batch."""
    return self.batch_size // self._shard.num_shards

  def check_examples(self) -> None:
    """Raises NoExamplesError if no example of the split passes the filter."""
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
    """Yields this host's examples from global batch `start` on, endlessly."""
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
    """Closes the open stream; a later `read` opens another."""
    self._stream.close()

  def read_part(self, index: int, count: int) -> None:
    """From here on reads part `index` of `count` of every batch."""
    self._shard = seqio.ShardInfo(index, count)
    self._stream.close()

  def resize(self, batch_size: int) -> None:
    """Changes the size of global batches from here on."""
    self.batch_size = batch_size
    self._stream.close()

  def read(self, batch: int) -> Batch:
    """Returns this host's part of a global batch.

    Args:
      batch: its number; the one after the last read is ready, another one opens
        the stream anew.

    Returns:
      tokens int32 (B, L), visible bool (B, L) and the other requested features.

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
    """Adds the name of the record to an error of reading a batch."""
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
          _check_stored(self.layout, shapes, place)
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
