"""Random access to a data set's records: TFDS directories of ArrayRecord.

A record is read by its index and parsed by TensorFlow, limited to the requested
features. Splits that fit in memory are kept there as raw bytes, shared by every
reader of the process.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import hashlib
import os
import threading
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from videopoet_jax.core import errors
from videopoet_jax.core import storage

# Raw bytes of one split at most that are kept in memory.
_MEMORY_BYTES = 256 * 2**20
_BLOCK = 256

Predicate = Callable[[Mapping[str, np.ndarray]], bool]


class Records:
  """The splits of one data set.

  Attributes:
    directory: the TFDS directory, as text.
    metadata: metadata stored with the set (`frame_rate` and others).
    features: the TFDS feature connectors by name.
  """

  def __init__(self, directory: str | os.PathLike[str]) -> None:
    """Opens a directory; DataError if it holds no readable data set."""
    self.directory = str(directory)
    path = storage.path(directory)
    if not (path / 'dataset_info.json').is_file():
      what = 'is empty' if path.is_dir() else 'does not exist'
      if path.is_dir() and any(path.iterdir()):
        what = 'has no dataset_info.json: not a data set, or half written'
      raise errors.DataError(
        f'{path} {what}; expected a data set directory such as `videopoet '
        'prepare` and `videopoet tokenize` write.'
      )
    try:
      self._builder = tfds.builder_from_directory(str(path))
      file_format = self._builder.info.file_format.value
    except Exception as error:
      raise errors.DataError(
        f'{path} cannot be read as a TFDS data set: {error}'
      ) from error
    if file_format != 'array_record':
      raise errors.DataError(
        f'{path} is stored as {file_format}; only array_record can be read in '
        "any order. Write it again with file_format='array_record'."
      )
    self.features = dict(self._builder.info.features.items())
    self.metadata = dict(self._builder.info.metadata or {})
    self._lock = threading.Lock()
    self._sources: dict[str, Any] = {}
    self._memory: dict[str, list[bytes]] = {}
    self._selections: dict[Any, np.ndarray] = {}

  @property
  def fingerprint(self) -> str:
    """Hash of the set's description: splits, sizes, features, metadata."""
    found = storage.path(self.directory) / 'dataset_info.json'
    return hashlib.sha256(found.read_bytes()).hexdigest()[:16]

  @property
  def splits(self) -> tuple[str, ...]:
    return tuple(sorted(self._builder.info.splits))

  def size(self, split: str) -> int:
    """Number of records of a split; DataError for an unknown split."""
    return self._split(split).num_examples

  def _split(self, split: str) -> Any:
    if split not in self._builder.info.splits:
      hint = errors.near_names(split, self.splits)
      raise errors.NoExamplesError(
        f'{self.directory} has no split {split!r}{hint}.'
      )
    return self._builder.info.splits[split]

  def schema(self, names: Sequence[str] | None = None) -> Any:
    """The TFDS feature dictionary of some features, of all by default.

    Raises:
      DataError: the set lacks a feature; the message lists near names.
    """
    for name in names or ():
      if name not in self.features:
        hint = errors.near_names(name, self.features)
        raise errors.DataError(
          f'{self.directory} has no feature {name!r}{hint}.'
        )
    kept = self.features if names is None else names
    return tfds.features.FeaturesDict({n: self.features[n] for n in kept})

  def shape(self, name: str) -> tuple[int | None, ...]:
    """Shape of one feature, without a batch dimension."""
    self.schema([name])
    return tuple(self.features[name].shape)

  def place(self, split: str, index: int) -> str:
    """The file of a record and its number there, for messages."""
    info = self._split(split)
    ends = np.cumsum(info.shard_lengths)
    shard = int(np.searchsorted(ends, index, side='right'))
    within = index - int(ends[shard] - info.shard_lengths[shard])
    return f'record {within} of {info.filepaths[shard]}'

  def read(
    self, split: str, indices: Sequence[int] | np.ndarray
  ) -> list[bytes]:
    """Serialized records of a split, in the order of the indices."""
    with self._lock:
      if split not in self._sources:
        self._sources[split] = self._open(split)
      memory = self._memory.get(split)
    if memory is not None:
      return [memory[i] for i in indices]
    return self._sources[split].__getitems__([int(i) for i in indices])

  def _open(self, split: str) -> Any:
    info = self._split(split)
    try:
      source = self._builder.as_data_source(
        split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
      )
      if info.num_bytes <= _MEMORY_BYTES:
        records: list[bytes] = []
        for start in range(0, info.num_examples, _BLOCK):
          stop = min(start + _BLOCK, info.num_examples)
          records += source.__getitems__(list(range(start, stop)))
        self._memory[split] = records
    except Exception as error:
      raise errors.DataError(
        f'split {split!r} of {self.directory} cannot be read; a file is '
        f'missing or damaged: {error}'
      ) from error
    return source

  def examples(
    self,
    split: str,
    names: Sequence[str] | None = None,
    first: int = 0,
    stop: int | None = None,
  ) -> 'tf.data.Dataset':
    """Every example of a split, or of a range, parsed, in the order on disk."""
    size = self.size(split) if stop is None else min(stop, self.size(split))

    def blocks() -> Any:
      for start in range(first, size, _BLOCK):
        yield self.read(split, range(start, min(start + _BLOCK, size)))

    dataset = tf.data.Dataset.from_generator(
      blocks, output_signature=tf.TensorSpec((None,), tf.string)
    )
    return dataset.unbatch().map(
      self.schema(names).deserialize_example, num_parallel_calls=2
    )

  def arrays(
    self, split: str, indices: Sequence[int] | np.ndarray, names: Sequence[str]
  ) -> list[dict[str, Any]]:
    """Some features of some records, parsed, in the order of the indices."""
    schema = self.schema(names)
    return [
      dict(schema.deserialize_example_np(record))
      for record in self.read(split, indices)
    ]

  def select(
    self,
    split: str,
    minimum: Mapping[str, float],
    predicate: Predicate | None = None,
  ) -> np.ndarray:
    """Indices of the records that pass a filter, found once and kept.

    Args:
      split: name of the split.
      minimum: least value of scalar features, `{'quality': 0.5}`; a name that
        ends in a question mark applies only if the set has the feature.
      predicate: function of an example of numpy arrays that returns whether to
        keep it.

    Returns:
      int64, ascending.

    Raises:
      DataError: a feature is missing or not a scalar.
      NoExamplesError: no record passes.
    """
    minimum = {
      name.removesuffix('?'): least
      for name, least in minimum.items()
      if not name.endswith('?') or name[:-1] in self.features
    }
    if not minimum and predicate is None:
      return np.arange(self.size(split), dtype=np.int64)
    key = (split, tuple(sorted(minimum.items())), predicate)
    with self._lock:
      found = self._selections.get(key)
    if found is None:
      for name in minimum:
        shape = self.shape(name)
        dtype = np.dtype(self.features[name].np_dtype)
        if shape or dtype.kind not in 'biuf':
          what = f'has shape {shape}' if shape else 'is text'
          raise errors.DataError(
            f'{self.directory}: feature {name!r} {what}; a minimum can be '
            'asked of a single number only.'
          )
      names = None if predicate else list(minimum)
      kept = [
        index
        for index, example in enumerate(
          self.examples(split, names).as_numpy_iterator()
        )
        if all(example[name] >= least for name, least in minimum.items())
        and (predicate is None or predicate(example))
      ]
      found = np.asarray(kept, np.int64)
      with self._lock:
        self._selections[key] = found
    if not found.size:
      asked = [f'{name} >= {least:g}' for name, least in minimum.items()]
      asked += ['the predicate'] if predicate else []
      raise errors.NoExamplesError(
        f'no example of split {split!r} of {self.directory} meets '
        f'{" and ".join(asked)}; ask for less, or add such clips.'
      )
    return found


class JoinedRecords:
  """Several data sets read as one, one after the other.

  Attributes:
    features: the TFDS feature connectors that all sets have.
  """

  def __init__(self, parts: Sequence[Records]) -> None:
    """Takes the sets in their order."""
    self._parts = tuple(parts)
    first = self._parts[0].features
    self.features = {
      name: feature
      for name, feature in first.items()
      if all(name in part.features for part in self._parts)
    }

  @property
  def directory(self) -> str:
    """The directories, for messages."""
    return ', '.join(part.directory for part in self._parts)

  @property
  def splits(self) -> tuple[str, ...]:
    """Splits that any set has."""
    return tuple(sorted({s for part in self._parts for s in part.splits}))

  def _having(self, split: str) -> list[Records]:
    """The sets that have a split; raises NoExamplesError if there is none."""
    having = [part for part in self._parts if split in part.splits]
    if not having:
      self._parts[0].size(split)
    return having

  def size(self, split: str) -> int:
    """Number of records of a split, of all sets."""
    return sum(part.size(split) for part in self._having(split))

  def schema(self, names: Sequence[str] | None = None) -> Any:
    """The feature dictionary of some features, of the common ones by default.

    Raises:
      DataError: a set lacks a feature, or stores it differently from the first.
    """
    names = tuple(self.features) if names is None else names
    found = [part.schema(names) for part in self._parts]
    for part, schema in zip(self._parts, found, strict=True):
      for name in names:
        theirs, ours = (
          schema[name].get_tensor_info(),
          found[0][name].get_tensor_info(),
        )
        if theirs != ours:
          raise errors.DataError(
            f'{part.directory} holds {name!r} as {theirs}, '
            f'{self._parts[0].directory} as {ours}; sets that are mixed must '
            'be alike. Encode them again with one tokenizer and one clip size.'
          )
    return found[0]

  def shape(self, name: str) -> tuple[int | None, ...]:
    """Shape of one feature, without a batch dimension; the same in all."""
    return tuple(self.schema([name])[name].shape)

  def _places(
    self, split: str, indices: Sequence[int] | np.ndarray
  ) -> tuple[list[Records], np.ndarray, np.ndarray]:
    """The sets with a split, and each index's set and index within it."""
    having = self._having(split)
    ends = np.cumsum([part.size(split) for part in having])
    indices = np.asarray(indices, np.int64)
    of = np.searchsorted(ends, indices, side='right')
    return having, of, indices - np.concatenate([[0], ends])[of]

  def place(self, split: str, index: int) -> str:
    """The file of a record and its number there, for messages."""
    having, of, within = self._places(split, [index])
    return having[int(of[0])].place(split, int(within[0]))

  def read(
    self, split: str, indices: Sequence[int] | np.ndarray
  ) -> list[bytes]:
    """Serialized records of a split, in the order of the indices."""
    having, of, within = self._places(split, indices)
    found: list[bytes] = [b''] * len(of)
    for number in np.unique(of):
      places = np.flatnonzero(of == number)
      records = having[int(number)].read(split, within[places])
      for place, record in zip(places, records, strict=True):
        found[place] = record
    return found

  def select(
    self,
    split: str,
    minimum: Mapping[str, float],
    predicate: Predicate | None = None,
  ) -> np.ndarray:
    """See `Records.select`; a set without any match is not an error."""
    kept: list[np.ndarray] = []
    nothing: errors.NoExamplesError | None = None
    start = 0
    for part in self._having(split):
      try:
        kept.append(start + part.select(split, minimum, predicate))
      except errors.NoExamplesError as error:
        nothing = error
      start += part.size(split)
    if not kept and nothing is not None:
      raise nothing
    return np.concatenate(kept)


@functools.lru_cache(maxsize=64)
def _open_records(directory: str, written: int) -> Records:
  del written
  return Records(directory)


def open_records(directory: str | os.PathLike[str]) -> Records:
  """The records of a directory, opened once in a process while unchanged."""
  path = storage.absolute(directory)
  return _open_records(str(path), storage.modified(path / 'dataset_info.json'))


def open_joined(
  directories: Sequence[str | os.PathLike[str]],
) -> Records | JoinedRecords:
  """The records of several directories as one."""
  parts = [open_records(directory) for directory in directories]
  return parts[0] if len(parts) == 1 else JoinedRecords(parts)
