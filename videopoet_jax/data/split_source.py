"""A SeqIO data source of one pass over a split of token data sets.

`source.IndexedSource` is the endless stream of our own training loop. SeqIO's
tasks, mixtures, caches and evaluators need a source that ends, has a known
number of examples, and whose tf.data iterators can be saved, which is this one.
The order of the examples and their draws are those of the first epoch of our
stream.
"""

from collections.abc import Mapping, Sequence
import functools

import numpy as np
import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.data import source as source_lib

# 1 if an example belongs to training: only then conditions are dropped.
TRAINING = 'training'
_TRAIN = 'train'
_BLOCK = 32  # Records that are read at once.
_SHARD = 4096  # Examples of a shard that `list_shards` names.


class SplitSource(seqio.DataSource):
  """The selected examples of a split, each once.

  Examples carry, besides their own features, `position` (int64, in the order of
  this pass), `seed` (int32, two numbers that follow from the seed of
  `get_dataset` and the position) and `training` (int32, 1 in that split).
  """

  def __init__(
    self,
    directories: Sequence[str],
    *,
    features: Sequence[str] | None = None,
    stream: str = '',
    selection: source_lib.Selection | None = None,
  ) -> None:
    """Opens the data sets; the selection is computed when needed.

    Args:
      directories: TFDS directories, read as one, in their order.
      features: names to parse, all by default.
      stream: name mixed into the seed, as in `source.IndexedSource`.
      selection: records that take part, all by default.

    Raises:
      DataError: a directory holds no data set.
    """
    self._features = None if features is None else tuple(features)
    self._indexed = source_lib.IndexedSource(
      directories,
      features=features,
      stream=stream,
      selection=selection or source_lib.Selection(),
    )
    super().__init__(
      splits=self._indexed.records.splits,
      caching_permitted=True,
      # SeqIO also shuffles through its buffer: another order every epoch.
      performs_internal_shuffling=True,
    )

  @functools.cached_property
  def splits(self) -> Sequence[str]:
    """Names of the splits that have selected examples."""
    return tuple(split for split in self._splits if self._has_examples(split))

  def _has_examples(self, split: str) -> bool:
    try:
      return self.num_input_examples(split) > 0
    except errors.NoExamplesError:
      return False

  @property
  def supports_arbitrary_sharding(self) -> bool:
    return True

  def num_input_examples(self, split: str) -> int:
    """Number of selected examples; NoExamplesError if there is none."""
    return self._indexed.order(split, 0, False).size

  def list_shards(self, split: str) -> Sequence[str]:
    """Ranges of examples, a few thousand each, for parallel caching."""
    count = -(-self.num_input_examples(split) // _SHARD)
    ranges = [self._range(split, n, count) for n in range(count)]
    where = self._indexed.directory
    return [f'{where}:{split}[{start}:{stop}]' for start, stop in ranges]

  def _range(self, split: str, index: int, count: int) -> tuple[int, int]:
    """First and last position (exclusive) of shard `index` of `count`."""
    size = self.num_input_examples(split)
    return size * index // count, size * (index + 1) // count

  def get_dataset(
    self,
    split: str = _TRAIN,
    shuffle: bool = True,
    seed: int | None = None,
    shard_info: seqio.ShardInfo | None = None,
  ) -> tf.data.Dataset:
    """Returns one pass over a split, or over a contiguous part of its order.

    Args:
      split: name of the split.
      shuffle: permuted as a whole, or in the order on disk.
      seed: seed of the permutation and of the examples; 0 if not given.
      shard_info: index of the part and number of parts; parts differ by at most
        one example.

    Returns:
      Parsed examples, of known cardinality. Iterators can be saved by
      `tf.train.Checkpoint`.

    Raises:
      DataError: the split, a feature or the filter is wrong.
    """
    shard = shard_info or source_lib.WHOLE
    order = self._indexed.order(split, seed, shuffle)
    records = self._indexed.records
    schema = records.schema(self._features)
    start, stop = self._range(split, shard.index, shard.num_shards)

    def read(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
      numbers = self._indexed.numbers(split, order, positions)
      found = np.empty(len(positions), object)
      found[:] = records.read(split, numbers)
      return found, order.seeds(positions)

    def read_block(positions: tf.Tensor) -> tuple[tf.Tensor, ...]:
      # Not stateful, so that tf.data saves iterators over it.
      found, seeds = tf.numpy_function(
        read, [positions], [tf.string, tf.int32], stateful=False
      )
      found.set_shape((None,))
      seeds.set_shape((None, 2))
      return found, positions, seeds

    def parse(
      record: tf.Tensor, position: tf.Tensor, example_seed: tf.Tensor
    ) -> Mapping[str, tf.Tensor]:
      return {
        **schema.deserialize_example(record),
        source_lib.POSITION: position,
        source_lib.SEED: example_seed,
        TRAINING: tf.constant(int(split == _TRAIN)),
      }

    dataset = tf.data.Dataset.range(start, stop).batch(_BLOCK).map(read_block)
    dataset = dataset.unbatch().map(parse, num_parallel_calls=2)
    return dataset.apply(tf.data.experimental.assert_cardinality(stop - start))

  def __repr__(self) -> str:
    return f'SplitSource({self._indexed.directory})'
