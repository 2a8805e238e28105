"""A SeqIO data source whose order is a function of (seed, position).

SeqIO's own reading shards by file, shuffles through a buffer and can only be
entered at its start. Here the example at a position of the endless stream is

    index = permutation(seed, epoch)[position % size],
    epoch = position // size

so a run enters anywhere in constant time, and the stream is cut into global
batches of which each host reads its contiguous part: the global order is the
same for any number of hosts. Several data sets that fill one stream are read as
if they were written one behind the other, which mixes them in proportion to
their examples.
"""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.core import permutation
from videopoet_jax.data import records as records_lib

# Features that every example carries besides its own: its position in the
# stream, and two numbers that seed random preprocessing of just this example.
POSITION = 'position'
SEED = 'seed'
# The share of a single host: all of every batch.
WHOLE = seqio.ShardInfo(index=0, num_shards=1)


@dataclasses.dataclass(frozen=True)
class Order:
  """The order of the examples of one stream.

  Attributes:
    size: examples of an epoch.
    key: from `permutation.fold`; all epochs' permutations follow from it.
    shuffled: whether to permute; if not, the order is that on disk.
  """

  size: int
  key: int
  shuffled: bool = True

  def indices(self, positions: np.ndarray) -> np.ndarray:
    """Index of the example at each position of the endless stream.

    Args:
      positions: int (n,), from 0, any order.

    Returns:
      int64 (n,), each in range(size).
    """
    positions = np.asarray(positions, np.int64)
    epochs, places = np.divmod(positions, self.size)
    if not self.shuffled:
      return places
    indices = np.empty_like(places)
    for epoch in np.unique(epochs):
      chosen = epochs == epoch
      key = permutation.fold(self.key, int(epoch))
      indices[chosen] = permutation.permute(places[chosen], self.size, key)
    return indices

  def seeds(self, positions: np.ndarray) -> np.ndarray:
    """int32 (n, 2): seeds for the random preprocessing of each position."""
    counters = np.asarray(positions).astype(np.uint64)
    key = np.uint64(permutation.fold(self.key, 'example'))
    hashed = permutation.mix(counters ^ key)
    return np.ascontiguousarray(hashed).view(np.int32).reshape(-1, 2)


def host_positions(
  batch: int, batch_size: int, host_index: int, host_count: int
) -> np.ndarray:
  """Positions of one global batch that a host reads: a contiguous part.

  Args:
    batch: number of the batch, from 0.
    batch_size: examples of a global batch, a multiple of `host_count`.
    host_index: index of the host.
    host_count: number of hosts.

  Returns:
    int64 (batch_size / host_count,).
  """
  part = batch_size // host_count
  first = batch * batch_size + host_index * part
  return np.arange(first, first + part)


@dataclasses.dataclass(frozen=True)
class Selection:
  """Which records of a split belong to a task.

  Attributes:
    minimum: (feature, least value) pairs over scalar features; a name that ends
      in a question mark applies only if the data have the feature.
    predicate: function of an example of numpy arrays; evaluated once a record.
  """

  minimum: tuple[tuple[str, float], ...] = ()
  predicate: records_lib.Predicate | None = None


class IndexedSource(seqio.DataSource):
  """Endless examples of a TFDS ArrayRecord directory, from any batch on.

  `get_dataset(shuffle=True, seed=...)` gives the permuted stream. Examples
  carry `position` (int64) and `seed` (int32, two) besides their features.
  """

  def __init__(
    self,
    directory: str | Sequence[str],
    *,
    features: Sequence[str] | None = None,
    stream: str = '',
    batch_size: int = 1,
    start: int = 0,
    selection: Selection = Selection(),
    splits: Sequence[str] = (),
  ) -> None:
    """Describes the stream; nothing is read yet.

    Args:
      directory: TFDS directory, or several that are mixed; empty in a
        registered task that takes the directories of the run.
      features: names to parse, all by default.
      stream: name mixed into the seed, so that two tasks with the same data
        read them in different orders.
      batch_size: examples of a global batch, over all hosts.
      start: global batches before the first one that is read.
      selection: records that take part.
      splits: names for SeqIO where the directory is not known yet.
    """
    self._directories = (
      (directory,) if isinstance(directory, str) else tuple(directory)
    )
    self.directory = ', '.join(self._directories)
    self._features = None if features is None else tuple(features)
    self._stream = stream
    self._batch_size = batch_size
    self._start = start
    self._selection = selection
    if self.directory and not splits:
      splits = self.records.splits
    # The number of examples stays undeclared: SeqIO would keep a small set's
    # stream in memory, and ours never ends.
    super().__init__(
      splits=splits, caching_permitted=False, performs_internal_shuffling=True
    )

  @property
  def records(self) -> records_lib.Records | records_lib.JoinedRecords:
    """The data set, or the several sets as one."""
    if not self.directory:
      raise errors.DataError(
        'this task names no data set of its own; give the run one (the '
        'directory that `videopoet tokenize` wrote).'
      )
    return records_lib.open_joined(self._directories)

  @property
  def supports_arbitrary_sharding(self) -> bool:
    return True

  def num_input_examples(self, split: str) -> None:
    """None, see the constructor; `size` is the number of an epoch."""
    del split

  def list_shards(self, split: str) -> Sequence[str]:
    return (split,)

  def order(self, split: str, seed: int | None, shuffle: bool) -> Order:
    """The order of a split; raises DataError for a wrong split or filter."""
    size = self.records.size(split)
    kept = self._kept(split)
    if kept is not None:
      size = len(kept)
    if not size:
      raise errors.NoExamplesError(
        f'split {split!r} of {self.directory} is empty.'
      )
    key = permutation.fold(seed or 0, self._stream)
    return Order(size, key, shuffle)

  def numbers(
    self, split: str, order: Order, positions: np.ndarray
  ) -> np.ndarray:
    """Number of the record in its split at each position of the stream."""
    indices = order.indices(positions)
    kept = self._kept(split)
    return indices if kept is None else kept[indices]

  def _kept(self, split: str) -> np.ndarray | None:
    minimum, predicate = self._selection.minimum, self._selection.predicate
    if not minimum and predicate is None:
      return None
    return self.records.select(split, dict(minimum), predicate)

  def get_dataset(
    self,
    split: str = 'train',
    shuffle: bool = True,
    seed: int | None = None,
    shard_info: seqio.ShardInfo | None = None,
  ) -> tf.data.Dataset:
    """Returns the stream of one host.

    Args:
      split: name of the split.
      shuffle: permuted, or in the order on disk.
      seed: seed of the permutation; 0 if not given.
      shard_info: index and number of hosts.

    Returns:
      Parsed examples, endless.

    Raises:
      DataError: the directory, split, a feature or the filter is wrong, or
        hosts do not divide the batch.
    """
    shard = shard_info or WHOLE
    if self._batch_size % shard.num_shards:
      raise errors.DataError(
        f'a batch of {self._batch_size} examples cannot be divided among '
        f'{shard.num_shards} hosts; make it a multiple.'
      )
    records = self.records
    schema = records.schema(self._features)
    order = self.order(split, seed, shuffle)
    kept = self._kept(split)

    def blocks() -> Iterator[tuple[list[bytes], np.ndarray, np.ndarray]]:
      batch = self._start
      while True:
        positions = host_positions(
          batch, self._batch_size, shard.index, shard.num_shards
        )
        indices = order.indices(positions)
        if kept is not None:
          indices = kept[indices]
        yield records.read(split, indices), positions, order.seeds(positions)
        batch += 1

    dataset = tf.data.Dataset.from_generator(
      blocks,
      output_signature=(
        tf.TensorSpec((None,), tf.string),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None, 2), tf.int32),
      ),
    )

    def parse(
      record: tf.Tensor, position: tf.Tensor, example_seed: tf.Tensor
    ) -> Mapping[str, tf.Tensor]:
      example = dict(schema.deserialize_example(record))
      return {**example, POSITION: position, SEED: example_seed}

    return dataset.unbatch().map(parse, num_parallel_calls=2)

  def replace(self, **changes: Any) -> 'IndexedSource':
    """Returns the same selection of records as another stream.

    Args:
      **changes: any of the constructor's arguments.
    """
    arguments = {
      'directory': self._directories,
      'features': self._features,
      'stream': self._stream,
      'batch_size': self._batch_size,
      'start': self._start,
      'selection': self._selection,
    }
    return IndexedSource(**{**arguments, **changes})
