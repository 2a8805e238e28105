"""Writes a data set of clips: a TFDS directory of ArrayRecord files.

Examples are first spilled, one file of records for each media file, since the
splits can be drawn only when all clips are counted and since a media file that
turns out to be damaged halfway must leave nothing behind. `finish` copies the
records into the shards. Everything happens in a folder beside the output,
which takes the output's name at the very end.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import contextlib
import pathlib
import shutil
import tempfile
from types import TracebackType
from typing import Any

from array_record.python import array_record_module
import numpy as np
import tensorflow_datasets as tfds

from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.data.media import clips

DATASET_NAME = 'media_clips'
_SHARD_BYTES = 256 * 2**20


def features(config: clips.ClipConfig) -> tfds.features.FeaturesDict:
  """The features of an example; see `Clip` for what they hold.

  `audio` is always there, so that all data sets of a size have one schema:
  zeros stand for a file without sound, which `has_audio` tells from silence.
  """
  size = (config.num_frames, config.height, config.width, 3)
  return tfds.features.FeaturesDict(
    {
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
  )


def example(clip: clips.Clip, caption: str) -> dict[str, Any]:
  """The example of one clip, as `features` describes it."""
  return {
    'video': clip.video_THWC,
    'audio': clip.audio_T,
    'has_audio': clip.has_audio,
    'caption': caption,
    'clip_id': clip.clip_id,
    'source': clip.source,
    'start': np.float32(clip.start),
    'end': np.float32(clip.end),
  }


@contextlib.contextmanager
def _writing(directory: pathlib.Path) -> Iterator[None]:
  """Turns what the disk says into a `DataError`."""
  try:
    yield
  except OSError as error:
    raise errors.DataError(
      f'{directory} cannot be written: {error.strerror or error}; choose '
      'another --output or make room'
    ) from error


class DatasetWriter:
  """Writes one data set; use as a context, then call `finish`.

  Leaving the context without `finish`, by an error or an interrupt, removes
  everything and leaves an older data set of that name as it was.
  """

  def __init__(
    self,
    output: pathlib.Path,
    feature_dict: tfds.features.FeaturesDict,
    metadata: Mapping[str, Any],
    overwrite: bool = False,
  ) -> None:
    """Reserves the place.

    Args:
      output: folder to make; its parents are made too.
      feature_dict: of the examples.
      metadata: stored with the set: `frame_rate`, `sampling_rate` and others.
      overwrite: whether an existing data set there is replaced.

    Raises:
      DataError: the folder exists with something else in it or cannot be
        written.
    """
    self._output = storage.absolute(output)
    self._is_remote = storage.is_remote(output)
    self._features = feature_dict
    self._metadata = dict(metadata)
    if self._output.exists():
      self._check_replaceable(overwrite)
    with _writing(output):
      # Beside the output, where it can be renamed to it; a bucket is sent what
      # is complete.
      parent = None if self._is_remote else self._output.parent
      if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
      self._folder = pathlib.Path(
        tempfile.mkdtemp(prefix=f'.{self._output.name}.unfinished-', dir=parent)
      )
      self._folder.chmod(0o755)
      (self._folder / 'spill').mkdir()
    self._spilled: dict[str, pathlib.Path] = {}

  def _check_replaceable(self, overwrite: bool) -> None:
    if not self._output.is_dir():
      raise errors.DataError(f'{self._output} is a file, not a folder')
    if not any(self._output.iterdir()):
      return
    if not overwrite:
      raise errors.DataError(
        f'{self._output} exists and is not empty; choose another --output, or '
        'replace it with --overwrite'
      )
    if not (self._output / 'dataset_info.json').is_file():
      raise errors.DataError(
        f'{self._output} holds something that is not a data set; it is left '
        'alone, choose another --output'
      )

  def __enter__(self) -> 'DatasetWriter':
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    shutil.rmtree(self._folder, ignore_errors=True)

  def add(self, source: str, examples: Iterable[Mapping[str, Any]]) -> int:
    """Takes all examples of one source, or none if one of them raises.

    Returns:
      How many there were.
    """
    path = self._folder / 'spill' / f'{len(self._spilled):06d}'
    count = 0
    try:
      with _writing(self._output), _record_writer(path) as records:
        for item in examples:
          records.write(self._features.serialize_example(dict(item)))
          count += 1
    except BaseException:
      path.unlink(missing_ok=True)
      raise
    self._spilled[source] = path
    return count

  def finish(self, splits: Mapping[str, Sequence[str | None]]) -> None:
    """Writes the shards and puts the data set in its place.

    Args:
      splits: for each source the split of each of its examples; None leaves
        an example out.
    """
    names = sorted({s for marks in splits.values() for s in marks if s})
    with _writing(self._output):
      infos = [self._write_split(name, splits) for name in names]
      shutil.rmtree(self._folder / 'spill')
      tfds.folder_dataset.write_metadata(
        data_dir=str(self._folder),
        features=self._features,
        split_infos=infos,
        filename_template=_template(self._folder),
        check_data=False,
        description='Clips of video and sound with captions.',
        metadata=tfds.core.MetadataDict(self._metadata),
      )
      if self._is_remote:
        storage.remove_folder(self._output)
        storage.copy_folder(
          self._folder, self._output, last='dataset_info.json'
        )
        return
      old = self._folder.with_name(f'{self._folder.name}-old')
      if self._output.exists():
        self._output.rename(old)
      self._folder.rename(self._output)
      shutil.rmtree(old, ignore_errors=True)

  def _write_split(
    self, name: str, splits: Mapping[str, Sequence[str | None]]
  ) -> tfds.core.SplitInfo:
    """Copies the spilled records of one split into shards."""
    # Known beforehand, since a shard's name says how many there are.
    spilled_bytes = sum(p.stat().st_size for p in self._spilled.values())
    counts = [len(marks) for marks in splits.values()]
    total = sum(marks.count(name) for marks in map(list, splits.values()))
    share = total / max(1, sum(counts))
    num_shards = max(1, min(total, round(spilled_bytes * share / _SHARD_BYTES)))
    limits = [total * (i + 1) // num_shards for i in range(num_shards)]
    records = self._records_of(name, splits)
    lengths, num_bytes, done = [], 0, 0
    template = _template(self._folder).replace(split=name)
    for shard, limit in enumerate(limits):
      path = template.sharded_filepath(shard_index=shard, num_shards=num_shards)
      with _record_writer(pathlib.Path(path)) as writer:
        for _ in range(limit - done):
          record = next(records)
          writer.write(record)
          num_bytes += len(record)
      lengths.append(limit - done)
      done = limit
    return tfds.core.SplitInfo(
      name=name,
      shard_lengths=lengths,
      num_bytes=num_bytes,
      filename_template=template,
    )

  def _records_of(
    self, name: str, splits: Mapping[str, Sequence[str | None]]
  ) -> Iterator[bytes]:
    for source, path in self._spilled.items():
      marks = splits[source]
      reader = array_record_module.ArrayRecordReader(str(path))
      try:
        for index, mark in enumerate(marks):
          if mark == name:
            yield reader.read([index])[0]
      finally:
        reader.close()


@contextlib.contextmanager
def _record_writer(
  path: pathlib.Path,
) -> Iterator['array_record_module.ArrayRecordWriter']:
  # Groups of one record, as random access wants it; lightly compressed.
  writer = array_record_module.ArrayRecordWriter(
    str(path), 'group_size:1,zstd:3'
  )
  try:
    yield writer
  except BaseException:
    with contextlib.suppress(Exception):
      writer.close()
    raise
  try:
    writer.close()
  except RuntimeError as error:
    # The library reports a full disk this way.
    raise OSError(str(error)) from error


def _template(folder: pathlib.Path) -> tfds.core.ShardedFileTemplate:
  return tfds.core.ShardedFileTemplate(
    data_dir=str(folder),
    dataset_name=DATASET_NAME,
    filetype_suffix='array_record',
  )
