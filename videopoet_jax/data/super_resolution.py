"""Batches of tokens at two resolutions, as pure functions of the step.

A compile unit is a size of the result (`core.upscaling`). Clips of a token data
set fill every unit that is no larger: a unit with fewer frames takes the first
ones (the tokenizers are causal), and one with a smaller frame takes a crop of
the grid at a place drawn for each example, like the tiles of a larger frame.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import threading
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.core import permutation
from videopoet_jax.core import upscaling
from videopoet_jax.data import batch_reader as batch_reader_lib
from videopoet_jax.data import batches as batches_lib
from videopoet_jax.data import preprocessors
from videopoet_jax.data import source as source_lib
from videopoet_jax.data import tokens as tokens_lib

Batch = batch_reader_lib.Batch

_CHUNK = 1 << 16
TEXT_VISIBLE = 'text_visible'


@dataclasses.dataclass(frozen=True)
class Text:
  """How the text of an example becomes that of a batch.

  Attributes:
    tokenizer: 'bytes', the path of a SentencePiece model, or 'embeddings' if
      the data hold those of a frozen encoder.
    slots: number of positions of a text.
  """

  tokenizer: str = preprocessors.BYTES
  slots: int = 64

  @property
  def embedded(self) -> bool:
    """Whether the data hold embeddings."""
    return self.tokenizer == preprocessors.EMBEDDINGS

  def features(self) -> tuple[str, ...]:
    """Names of the features that are read."""
    stored = (preprocessors.TEXT_EMBEDDINGS, preprocessors.TEXT_USED)
    return ('text', *stored) if self.embedded else ('text',)

  def __call__(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Adds `text` int32 (S,), 0 where a slot is unused."""
    if self.embedded:
      return preprocessors.embedded_text(self.slots)(dataset)
    vocabulary = preprocessors.text_vocabulary(self.tokenizer)
    return preprocessors.tokenize_text(vocabulary, self.slots)(dataset)


class UnitReader:
  """The global batches of one unit, from any one on."""

  def __init__(
    self,
    unit: upscaling.Upscaling,
    info: tokens_lib.TokenInfo,
    directory: str,
    text: Text,
    *,
    batch_size: int,
    split: str,
    shuffle: bool,
    seed: int,
  ) -> None:
    """Checks that the clips fill the unit; reads nothing yet.

    Args:
      unit: sizes of result and condition.
      info: info of the data set.
      directory: the token data set.
      text: how text is read.
      batch_size: examples of a global batch.
      split: split of the data set.
      shuffle: whether the stream is permuted.
      seed: seed of order and crops.

    Raises:
      DataError: the data set cannot be read, or its clips do not fill the unit.
    """
    self.unit, self.batch_size = unit, batch_size
    self._text, self._shard = text, source_lib.WHOLE
    self._order = (split, seed, shuffle)
    self._check_fits(info, directory)
    assert info.visual is not None and info.low is not None
    self._latent = unit.latent(info.visual)
    self._low_latent = unit.low_latent(info.low)
    self._source = source_lib.IndexedSource(
      directory,
      features=('video_tokens', 'low_tokens', *text.features()),
      stream=unit.name,
      batch_size=batch_size,
    )
    self._cut_key = permutation.fold(seed, f'cut of {unit.name}')
    self._shuffle = shuffle
    self._sizes = (info.visual.codebook_size, info.low.codebook_size)
    self._source.records.schema(('video_tokens', 'low_tokens', 'text'))
    self._source.order(*self._order)
    self._stream = batch_reader_lib.Stream(
      self._open, f'{unit.name}: {directory}'
    )

  def _check_fits(self, info: tokens_lib.TokenInfo, directory: str) -> None:
    unit = self.unit
    if info.low_scale != unit.scale:
      raise errors.DataError(
        f'{unit.name} multiplies height and width by {unit.scale}; the pairs '
        f'of {directory} were made with --low_scale {info.low_scale}. Tokenize '
        f'with --low_scale {unit.scale}, or train units of that scale.'
      )
    wanted = (unit.frames, unit.height, unit.width)
    if info.clip is None or any(w > c for w, c in zip(wanted, info.clip)):
      raise errors.DataError(
        f'{unit.name} is larger than the clips of {directory}, {info.clip}; '
        'train units of their size or below, or tokenize larger clips.'
      )

  @property
  def rows(self) -> int:
    """Number of examples in this host's part of a batch."""
    return self.batch_size // self._shard.num_shards

  def shapes(self) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and dtype of each array of this host's part of a batch."""
    rows = self.rows
    slots = self._text.slots
    found: dict[str, tuple[tuple[int, ...], Any]] = {
      'video_tokens': ((rows, *self._latent), np.int32),
      'low_tokens': ((rows, *self._low_latent), np.int32),
      TEXT_VISIBLE: ((rows, slots), np.bool_),
    }
    if self._text.embedded:
      width = self._source.records.shape(preprocessors.TEXT_EMBEDDINGS)[1]
      assert width is not None
      name = preprocessors.TEXT_EMBEDDINGS
      return {**found, name: ((rows, slots, width), np.float32)}
    return {**found, 'text': ((rows, slots), np.int32)}

  def _open(self, start: int) -> tf.data.Dataset:
    split, seed, shuffle = self._order
    dataset = self._text(
      self._source.replace(start=start).get_dataset(
        split,
        shuffle,
        seed,
        self._shard,
      )
    )
    return dataset.batch(self.rows, drop_remainder=True)

  def read_part(self, index: int, count: int) -> None:
    """From here on reads part `index` of `count` of every batch."""
    self._shard = seqio.ShardInfo(index, count)
    self._stream.close()

  def resize(self, batch_size: int) -> None:
    """Changes the size of global batches from here on."""
    self.batch_size = batch_size
    self._source = self._source.replace(batch_size=batch_size)
    self._stream.close()

  def read(self, number: int) -> Batch:
    """Returns this host's part of a global batch.

    Args:
      number: number of the batch.

    Returns:
      `video_tokens` int32 (B, t, H, W), `low_tokens` int32 (B, t, h, w),
      `text_visible` bool (B, S), and `text` int32 (B, S) or `text_embeddings`
      float32 (B, S, E).

    Raises:
      DataError: a record cannot be read, or an id is out of its range.
    """
    arrays = self._stream.read(number)
    places = arrays[source_lib.POSITION]
    found = self._cut(arrays['video_tokens'], arrays['low_tokens'], places)
    for (name, ids), size in zip(found.items(), self._sizes):
      if ids.size and not 0 <= ids.min() <= ids.max() < size:
        raise errors.DataError(
          f'{self.unit.name}: {name} hold ids from {ids.min()} to {ids.max()}, '
          f'the tokenizer has 0 to {size - 1}; run `videopoet tokenize` again.'
        )
    found[TEXT_VISIBLE] = arrays['text'] > 0
    name = preprocessors.TEXT_EMBEDDINGS if self._text.embedded else 'text'
    return {**found, name: arrays[name]}

  def _cut(
    self, high: np.ndarray, low: np.ndarray, places: np.ndarray
  ) -> dict[str, np.ndarray]:
    """Crops the unit's part of each grid, the same place in both."""
    frames, *size = self._latent
    low_size = self._low_latent[1:]
    # Whole low-resolution cells, so that both grids have the same crop.
    cells = [w // n for w, n in zip(size, low_size)]
    starts = []
    for axis in (0, 1):
      free = low.shape[axis + 2] - low_size[axis] + 1
      drawn = np.full(len(places), (free - 1) / 2 / free)
      if self._shuffle:
        key = permutation.fold(self._cut_key, axis)
        drawn = permutation.uniform(key, places)
      starts.append((drawn * free).astype(np.int64))
    highs, lows = [], []
    for row, (top, left) in enumerate(zip(*starts)):
      lows.append(
        low[row, :frames, top : top + low_size[0], left : left + low_size[1]]
      )
      top, left = top * cells[0], left * cells[1]
      highs.append(
        high[row, :frames, top : top + size[0], left : left + size[1]]
      )
    return {'video_tokens': np.stack(highs), 'low_tokens': np.stack(lows)}

  def close(self) -> None:
    """Closes the open stream."""
    self._stream.close()


class PairBatches:
  """Training batches: a step draws a unit, then its examples.

  Everything is a pure function of (seed, step); the position within a unit is
  the number of earlier steps that drew it.
  """

  def __init__(
    self,
    units: Sequence[upscaling.Upscaling],
    directory: str,
    text: Text,
    *,
    tokens_per_batch: int,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    multiple: int = 1,
  ) -> None:
    """Checks everything that can be checked before the first step.

    Args:
      units: sizes of the run.
      directory: token data set with pairs.
      text: how text is read.
      tokens_per_batch: ids of the result in a global batch, the same for all
        units (an image has a fifth of the ids of a clip of 17 frames).
      weights: relative frequency of each unit, by name; 1 unless given.
      seed: seed of draws, order and crops.
      multiple: global batches are a multiple of this, such as the devices.

    Raises:
      ConfigError: a weight names no unit of the run, or there is no unit.
      DataError: see `UnitReader`.
    """
    info = tokens_lib.check_pairs(directory)
    assert info.visual is not None
    names = [unit.name for unit in units]
    weights = dict(weights or {})
    for name in weights:
      if name not in names:
        hint = errors.near_names(name, names)
        raise errors.ConfigError(
          f'super_resolution.weights names {name!r}, no unit of this run{hint}.'
        )
    shares = np.array([float(weights.get(name, 1.0)) for name in names])
    if not names or (shares < 0).any() or not shares.sum():
      raise errors.ConfigError(
        'super_resolution.units must name at least one size, and '
        'super_resolution.weights must not be negative nor all 0: got '
        f'{names} and {weights}.'
      )
    self._edges = np.cumsum(shares / shares.sum())[:-1]
    self._multiple = multiple
    self._tokens_per_batch = tokens_per_batch
    self._visual = info.visual
    self._readers = [
      UnitReader(
        unit,
        info,
        directory,
        text,
        batch_size=_examples(
          unit.latent(info.visual), tokens_per_batch, multiple
        ),
        split=batches_lib.TRAIN,
        shuffle=True,
        seed=seed,
      )
      for unit in units
    ]
    self._seed, self._key = seed, permutation.fold(seed, 'unit')
    self._lock = threading.Lock()
    self._step = 0
    self._counts = np.zeros(len(names), np.int64)

  def units(self) -> tuple[str, ...]:
    """Names of the units; each is compiled once."""
    return tuple(reader.unit.name for reader in self._readers)

  def read_part(self, index: int, count: int) -> None:
    """From here on reads part `index` of `count` of every batch."""
    with self._lock:
      for reader in self._readers:
        reader.read_part(index, count)

  def divide(self, parts: int) -> None:
    """Makes global batches divisible; see `TokenBatches.divide`."""
    with self._lock:
      self._multiple *= parts
      for reader in self._readers:
        latent = reader.unit.latent(self._visual)
        reader.resize(_examples(latent, self._tokens_per_batch, self._multiple))

  def _draw(self, start: int, stop: int) -> np.ndarray:
    drawn = permutation.uniform(self._key, np.arange(start, stop))
    return np.searchsorted(self._edges, drawn, side='right')

  def unit_at(self, step: int) -> str:
    """Name of the unit that a step trains."""
    return self.units()[int(self._draw(step, step + 1)[0])]

  def shapes(self, unit: str) -> dict[str, np.ndarray]:
    """Arrays like this host's part of a batch of a unit, to compile with."""
    reader = self._readers[self.units().index(unit)]
    return {
      name: np.zeros(shape, dtype)
      for name, (shape, dtype) in reader.shapes().items()
    }

  def batch(self, step: int) -> Batch:
    """This host's part of the batch of a step; see `UnitReader.read`."""
    with self._lock:
      self._count_to(step)
      index = int(self._draw(step, step + 1)[0])
      return self._readers[index].read(int(self._counts[index]))

  def _count_to(self, step: int) -> None:
    if step < self._step:
      self._step, self._counts = 0, np.zeros_like(self._counts)
    for start in range(self._step, step, _CHUNK):
      drawn = self._draw(start, min(step, start + _CHUNK))
      self._counts += np.bincount(drawn, minlength=len(self._counts))
    self._step = step

  def state(self) -> dict[str, Any]:
    """JSON for a checkpoint: what must be the same when the run resumes."""
    return {**self._origin(), 'batch_sizes': self.batch_sizes()}

  def _origin(self) -> dict[str, Any]:
    return {'seed': self._seed, 'units': list(self.units())}

  def batch_sizes(self) -> dict[str, int]:
    """Number of examples in a global batch of each unit."""
    return {reader.unit.name: reader.batch_size for reader in self._readers}

  def restore(self, state: Mapping[str, Any]) -> None:
    """Restores a checkpoint's batch sizes; see `TokenBatches`.

    Raises:
      ConfigError: it was trained on other data, or the devices cannot share
        its batches.
    """
    theirs = dict(state)
    sizes = theirs.pop('batch_sizes', {})
    if theirs != self._origin():
      raise errors.ConfigError(
        f'the checkpoint was trained with {theirs}, this run has '
        f'{self._origin()}. Start a new run from it with --init_from to change '
        'the data.'
      )
    with self._lock:
      readers = dict(zip(self.units(), self._readers, strict=True))
      batches_lib.adopt_sizes(readers, sizes, self._multiple)


class FirstPairs:
  """The same few batches of each unit every time, in the order on disk."""

  def __init__(
    self,
    units: Sequence[upscaling.Upscaling],
    directory: str,
    text: Text,
    *,
    batch_size: int,
    batches: int = 1,
    split: str = batches_lib.VALIDATION,
  ) -> None:
    """See `PairBatches`; frames are cropped in the middle.

    Args:
      units: sizes of the run.
      directory: token data set with pairs.
      text: how text is read.
      batch_size: examples of a global batch.
      batches: number of batches of each unit.
      split: split of the data set.
    """
    info = tokens_lib.check_pairs(directory)
    self._number = batches
    self._readers = {
      unit.name: UnitReader(
        unit, info, directory, text,
        batch_size=batch_size, split=split, shuffle=False, seed=0,
      )
      for unit in units
    }  # fmt: skip
    self._kept: dict[str, tuple[Batch, ...]] = {}

  def read_part(self, index: int, count: int) -> None:
    """From here on reads part `index` of `count` of every batch."""
    for reader in self._readers.values():
      reader.read_part(index, count)
    self._kept = {}

  def units(self) -> tuple[str, ...]:
    return tuple(self._readers)

  def batches(self, unit: str) -> tuple[Batch, ...]:
    """Returns the batches of a unit, read once and kept in memory."""
    if unit not in self._kept:
      reader = self._readers[unit]
      self._kept[unit] = tuple(reader.read(n) for n in range(self._number))
      reader.close()
    return self._kept[unit]


def _examples(
  latent: tuple[int, int, int], tokens_per_batch: int, multiple: int
) -> int:
  """Number of examples in a global batch, at least one a device."""
  rows = tokens_per_batch // int(np.prod(latent))
  return max(rows // multiple, 1) * multiple
