"""Writes a data set of clips: a TFDS directory of ArrayRecord files.

Clips are first spilled, since the splits can be drawn only when all clips are
counted. A spill holds the clips of a few consecutive media files, of about the
same total duration, and its contents do not depend on the number of hosts. When
all are counted, one host for each file of the data set copies the records into
it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import pathlib
from typing import Any

from array_record.python import array_record_module
import numpy as np
import tensorflow_datasets as tfds

from videopoet_jax.core import errors
from videopoet_jax.data import serialize
from videopoet_jax.data import shard_writer
from videopoet_jax.data.ingest import clips

DATASET_NAME = 'media_clips'
_SHARD_BYTES = 256 * 2**20
# Groups of one record for random access; lightly compressed.
_OPTIONS = 'group_size:1,zstd:3'
# Enough spills for many hosts to share, and none that takes long to repeat
# unless a single media file does.
_SPILLS = 256
_MOST_SECONDS = 600.0
_BLOCK = 16  # Records read at a time.


def features(
  config: clips.ClipConfig, numbers: Iterable[str] = ()
) -> tfds.features.FeaturesDict:
  """The features of an example; see `Clip` for their contents.

  `audio` is always present, so that all data sets of a size have one schema:
  zeros stand for a file without sound, which `has_audio` tells from silence.
  Clips at the rate of their files have neither, since they differ in duration.

  Args:
    config: sizes of a clip.
    numbers: names of further numbers, float32, NaN where one is not known.

  Raises:
    ConfigError: a number has the name of another feature.
  """
  size = (config.num_frames, config.height, config.width, 3)
  own = {
    # Raw bytes: the records themselves are compressed.
    'video': tfds.features.Tensor(
      shape=size, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
    ),
    'audio': tfds.features.Tensor(
      shape=(config.num_samples,),
      dtype=np.int16,
      encoding=tfds.features.Encoding.BYTES,
    ),
    'has_audio': tfds.features.Scalar(dtype=np.bool_),
    'caption': tfds.features.Text(),
    'clip_id': tfds.features.Text(),
    'source': tfds.features.Text(),
    'start': tfds.features.Scalar(dtype=np.float32),
    'end': tfds.features.Scalar(dtype=np.float32),
  }
  if not config.has_sound:
    del own['audio'], own['has_audio']
  taken = sorted(own.keys() & set(numbers))
  if taken:
    raise errors.ConfigError(
      f'--numbers {taken[0]}: clips have a feature of that name; call the '
      'column otherwise'
    )
  further = {name: tfds.features.Scalar(dtype=np.float32) for name in numbers}
  return tfds.features.FeaturesDict(own | further)


def example(
  clip: clips.Clip, caption: str, numbers: Mapping[str, float]
) -> dict[str, Any]:
  """Returns the example of one clip, as `features` describes it."""
  sound = {'audio': clip.audio_T, 'has_audio': clip.has_audio}
  return {
    'video': clip.video_THWC,
    **(sound if len(clip.audio_T) else {}),
    'caption': caption,
    'clip_id': clip.clip_id,
    'source': clip.source,
    'start': np.float32(clip.start),
    'end': np.float32(clip.end),
    **{name: np.float32(value) for name, value in numbers.items()},
  }


@dataclasses.dataclass(frozen=True)
class Spill:
  """Media files whose clips are written together.

  Attributes:
    name: name of the piece.
    sources: names of the files, in order.
    seconds: seconds of video in them.
  """

  name: str
  sources: tuple[str, ...]
  seconds: float


def plan_spills(seconds: Mapping[str, float]) -> list[Spill]:
  """Groups consecutive sources.

  Args:
    seconds: seconds of video, by source.
  """
  limit = min(_MOST_SECONDS, sum(seconds.values()) / _SPILLS)
  groups: list[list[str]] = []
  filled = 0.0
  for source, duration in seconds.items():
    if not groups or filled + duration > limit:
      groups.append([])
      filled = 0.0
    groups[-1].append(source)
    filled += duration
  return [
    Spill(
      shard_writer.spill(f'{index:06d}'),
      tuple(group),
      sum(seconds[source] for source in group),
    )
    for index, group in enumerate(groups)
  ]


@dataclasses.dataclass(frozen=True)
class Shard:
  """One file of the data set.

  Attributes:
    split: split that it belongs to.
    name: name of the file.
    records: places of its examples, in order, each a spill and an index in it.
  """

  split: str
  name: str
  records: tuple[tuple[str, int], ...]


class SpillWriter:
  """Takes the clips of one spill's sources."""

  def __init__(
    self,
    records: shard_writer.Records,
    serializer: serialize.ExampleSerializer,
    info: dict[str, Any],
  ) -> None:
    self._records = records
    self._serializer = serializer
    self._kept = info.setdefault('kept', {})

  @property
  def count(self) -> int:
    """Number of clips so far."""
    return sum(count for _, count in self._kept.values())

  def add(self, source: str, examples: Iterable[Mapping[str, Any]]) -> int:
    """Takes all examples of one source, or none if one of them raises.

    Returns:
      The number of examples.
    """
    # Records of a source that fails stay where they are and are never used.
    first = self._records.count
    for item in examples:
      self._records.write(self._serializer(item))
    count = self._records.count - first
    self._kept[source] = [first, count]
    return count


class DatasetWriter:
  """Writes the pieces of one data set, and the whole when all are there."""

  def __init__(
    self,
    pieces: shard_writer.ShardWriter,
    feature_dict: tfds.features.FeaturesDict,
    metadata: Mapping[str, Any],
  ) -> None:
    """Opens the writer.

    Args:
      pieces: data set in the making.
      feature_dict: features of the examples.
      metadata: metadata of the data set: `frame_rate`, `sampling_rate` and
        others.
    """
    self._pieces = pieces
    self._features = feature_dict
    self._serializer = serialize.ExampleSerializer(feature_dict)
    self._metadata = dict(metadata)

  @contextlib.contextmanager
  def spill(self, spill: Spill, info: dict[str, Any]) -> Iterator[SpillWriter]:
    """Writes one spill, completely or not at all.

    Args:
      spill: spill to write.
      info: JSON to be kept with it.

    Raises:
      DataError: it cannot be written.
    """
    with self._pieces.piece(spill.name, _OPTIONS, info) as records:
      yield SpillWriter(records, self._serializer, info)

  def plan_shards(
    self,
    spills: Sequence[Spill],
    splits: Mapping[str, Sequence[str | None]],
  ) -> list[Shard]:
    """Assigns examples to all files of the data set.

    Args:
      spills: all spills that count, finished, in order.
      splits: for each source the split of each of its examples; None leaves an
        example out.
    """
    places: dict[str, list[tuple[str, int]]] = {}
    stored = total = 0
    for spill in spills:
      info = self._pieces.finished[spill.name]
      stored += info['file_bytes']
      total += info['records']
      for source, (first, _) in info['kept'].items():
        # A limit may exclude examples of the last source.
        for index, split in enumerate(splits.get(source, ())):
          if split:
            places.setdefault(split, []).append((spill.name, first + index))
    shards = []
    for split in sorted(places):
      own = places[split]
      size = stored * len(own) / max(1, total)
      files = max(1, min(len(own), round(size / _SHARD_BYTES)))
      limits = [len(own) * i // files for i in range(files + 1)]
      template = _template(pathlib.Path('.')).replace(split=split)
      for index in range(files):
        name = template.sharded_filepath(shard_index=index, num_shards=files)
        records = tuple(own[limits[index] : limits[index + 1]])
        shards.append(Shard(split, name.name, records))
    return shards

  def write_shard(self, shard: Shard) -> None:
    """Copies the records of one file; DataError if it cannot be written."""
    if shard.name in self._pieces.finished:
      return
    with self._pieces.piece(shard.name, _OPTIONS, {}) as records:
      for record in self._records_of(shard):
        records.write(record)

  def _records_of(self, shard: Shard) -> Iterator[bytes]:
    by_spill: dict[str, list[int]] = {}
    for name, index in shard.records:
      by_spill.setdefault(name, []).append(index)
    for name, indices in by_spill.items():
      reader = array_record_module.ArrayRecordReader(
        str(self._pieces.path(name))
      )
      try:
        for start in range(0, len(indices), _BLOCK):
          yield from reader.read(indices[start : start + _BLOCK])
      finally:
        reader.close()

  def finish(self, shards: Sequence[Shard]) -> None:
    """Puts the data set in its place; only the first host does.

    Args:
      shards: all files, which must be finished.

    Raises:
      DataError: it cannot be written.
    """
    names = [shard.name for shard in shards]
    with shard_writer.description(names) as folder:
      template = _template(folder)
      infos = []
      for split in sorted({shard.split for shard in shards}):
        own = [shard for shard in shards if shard.split == split]
        finished = [self._pieces.finished[shard.name] for shard in own]
        infos.append(
          tfds.core.SplitInfo(
            name=split,
            shard_lengths=[len(shard.records) for shard in own],
            num_bytes=sum(info['bytes'] for info in finished),
            filename_template=template.replace(split=split),
          )
        )
      tfds.folder_dataset.write_metadata(
        data_dir=str(folder),
        features=self._features,
        split_infos=infos,
        filename_template=template,
        check_data=False,
        description='Clips of video and sound with captions.',
        metadata=tfds.core.MetadataDict(self._metadata),
      )
      self._pieces.publish(folder, names)


def _template(folder: pathlib.Path) -> tfds.core.ShardedFileTemplate:
  return tfds.core.ShardedFileTemplate(
    data_dir=str(folder),
    dataset_name=DATASET_NAME,
    filetype_suffix='array_record',
  )
