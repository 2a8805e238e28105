"""Token data sets: TFDS ArrayRecord directories that describe their ids.

Beside the records, `tokens.json` holds the tokenizers' fingerprints and grids,
so that a run refuses ids of another tokenizer and names the difference.
"""

from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
from types import TracebackType
from typing import Any

from array_record.python import array_record_module
import numpy as np
import tensorflow_datasets as tfds

from videopoet_jax.core import descriptions
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import storage
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.data import serialize
from videopoet_jax.media import masking

INFO_FILE = 'tokens.json'
_FORMAT = 1
_SHARD_BYTES = 512 * 2**20
_NAME = 'tokens'


@dataclasses.dataclass(frozen=True)
class TokenInfo:
  """Contents of `tokens.json`.

  Attributes:
    visual: grid of the visual tokenizer, None if there are no visual ids.
    audio: grid of the audio tokenizer, None if there are no audio ids.
    visual_fingerprint: fingerprint of its config and weights.
    audio_fingerprint: fingerprint of its config and weights.
    clip: frames, height and width of the clips, in pixels.
    text_fingerprint: fingerprint of the frozen text encoder and its tokenizer,
      '' if there are no text embeddings.
    text_slots: number of positions of a text's embeddings.
    text_width: width of an embedding.
    low: grid of the tokenizer of the clips at low resolution, None if there
      are no such ids.
    low_fingerprint: fingerprint of its config and weights.
    low_scale: height and width of the clips over those at low resolution.
    flow_range: `masking.flow_range` of structure tokens, in pixels a frame; 0
      if there are none, or they are from before it was stored.
  """

  visual: specs.VisualSpec | None = None
  audio: specs.AudioSpec | None = None
  visual_fingerprint: str = ''
  audio_fingerprint: str = ''
  clip: tuple[int, int, int] | None = None
  text_fingerprint: str = ''
  text_slots: int = 0
  text_width: int = 0
  low: specs.VisualSpec | None = None
  low_fingerprint: str = ''
  low_scale: int = 0
  flow_range: float = 0.0

  def to_json(self) -> dict[str, Any]:
    return {'format': _FORMAT, **descriptions.values(self)}


def read_info(directory: str | os.PathLike[str]) -> TokenInfo:
  """Reads `tokens.json`; raises DataError if it is missing or unreadable."""
  path = storage.path(directory) / INFO_FILE
  if not path.is_file():
    raise errors.DataError(
      f'{directory} has no {INFO_FILE}: it is not a token data set. Make one '
      'with `videopoet tokenize`.'
    )
  try:
    stored = json.loads(path.read_text())
    version = stored.pop('format')
    visual, audio = stored.pop('visual'), stored.pop('audio')
    clip, low = stored.pop('clip'), stored.pop('low', None)
    if version != _FORMAT:
      raise errors.DataError(
        f'{path} has format {version}, this version reads {_FORMAT}; run '
        '`videopoet tokenize` again.'
      )
    return TokenInfo(
      visual=specs.VisualSpec(**visual) if visual else None,
      audio=specs.AudioSpec(**audio) if audio else None,
      clip=tuple(clip) if clip else None,
      low=specs.VisualSpec(**low) if low else None,
      **stored,
    )
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise errors.DataError(
      f'{path} is damaged ({error}); run `videopoet tokenize` again.'
    ) from error


def check(
  directory: str | os.PathLike[str],
  space: tasks_lib.LayoutSpace,
  fingerprints: Mapping[str, str] | None = None,
) -> TokenInfo:
  """Refuses tokens that do not match a run.

  Args:
    directory: directory of the token data set.
    space: vocabulary and grids of the run.
    fingerprints: fingerprints of the run's tokenizers, by `visual` and `audio`;
      one left out or empty is not compared.

  Returns:
    The data set's info.

  Raises:
    DataError: the message names everything that differs.
  """
  info = read_info(directory)
  differences = []
  for name, ours in (('visual', space.visual), ('audio', space.audio)):
    theirs = getattr(info, name)
    if theirs is not None:
      for field in dataclasses.fields(ours):
        expected, found = getattr(ours, field.name), getattr(theirs, field.name)
        if expected != found:
          differences.append(f'{name} {field.name} {found}, not {expected}')
    wanted = (fingerprints or {}).get(name, '')
    found = getattr(info, f'{name}_fingerprint')
    if theirs is not None and wanted and wanted != found:
      differences.append(f'{name} tokenizer {found or "unknown"}, not {wanted}')
  reach = _stored_range(directory, info)
  ours_reach = masking.flow_range(info.clip[1]) if info.clip else reach
  if reach and reach != ours_reach:
    differences.append(
      f'structure of flow up to {reach:g} pixels a frame, not {ours_reach:g}'
    )
  if differences:
    raise errors.DataError(
      f'the tokens of {directory} are not those of this run: '
      f'{"; ".join(differences)}. Encode the clips again with `videopoet '
      'tokenize`, or train with the tokenizers that made these.'
    )
  return info


def _stored_range(directory: str | os.PathLike[str], info: TokenInfo) -> float:
  """The range of flow of structure tokens; 0 if there are none."""
  if info.flow_range or info.clip is None:
    return info.flow_range
  features = storage.path(directory) / 'features.json'
  if not features.is_file() or 'structure_tokens' not in features.read_text():
    return 0.0
  # Sets without it were made with a range of a 32nd of any height.
  return info.clip[1] / 32


def check_embeddings(
  directory: str | os.PathLike[str],
  instead: str = "PrefixLMConfig.text = 'tokens' and prefix_lm.text_embeddings"
  ' = False',
) -> TokenInfo:
  """Returns a set's info; raises DataError without text embeddings.

  Args:
    directory: directory of the token data set.
    instead: bindings of a run that needs no embeddings.
  """
  info = read_info(directory)
  if not (info.text_slots and info.text_width):
    raise errors.DataError(
      f'{directory} holds no text embeddings; add them with `videopoet '
      f'embed_text`, or train with {instead}.'
    )
  return info


def check_pairs(directory: str | os.PathLike[str]) -> TokenInfo:
  """Returns a set's info; raises DataError without pairs of resolutions."""
  info = read_info(directory)
  if info.visual is None or info.low is None or not info.low_scale:
    raise errors.DataError(
      f'{directory} holds no ids at low resolution; make them with `videopoet '
      'tokenize --low_scale 2`.'
    )
  return info


def _kinds(example: Mapping[str, Any]) -> dict[str, Any]:
  """Dtype and shape of each feature; null for a text."""
  kinds: dict[str, Any] = {}
  for name, value in example.items():
    if isinstance(value, (str, bytes)):
      kinds[name] = None
      continue
    array = np.asarray(value)
    kinds[name] = [array.dtype.name, list(array.shape)]
  return kinds


def schema_of(kinds: Mapping[str, Any]) -> tfds.features.FeaturesDict:
  """TFDS features from the result of `Serializer.described`.

  Arrays are stored as raw bytes: fast to read, and only as wide as their dtype.
  """
  features: dict[str, Any] = {}
  for name, kind in kinds.items():
    if kind is None:
      features[name] = tfds.features.Text()
      continue
    dtype, shape = kind
    features[name] = tfds.features.Tensor(
      shape=tuple(shape),
      dtype=np.dtype(dtype),
      encoding='bytes' if shape else 'none',
    )
  return tfds.features.FeaturesDict(features)


class Serializer:
  """Turns examples into records, all with the features of the first."""

  def __init__(self, directory: str | os.PathLike[str]) -> None:
    """Stores the data set's folder, which errors will name."""
    self._directory = directory
    self._kinds: dict[str, Any] = {}
    self._serialize: serialize.ExampleSerializer | None = None
    self.schema: tfds.features.FeaturesDict | None = None

  def described(self) -> dict[str, Any]:
    """The features as JSON."""
    return self._kinds

  def __call__(self, example: Mapping[str, Any]) -> bytes:
    """Returns one record; raises DataError if unlike the first example."""
    if self.schema is None or self._serialize is None:
      self._kinds = _kinds(example)
      self.schema = schema_of(self._kinds)
      self._serialize = serialize.ExampleSerializer(self.schema)
    if set(example) != set(self.schema):
      odd = sorted(set(example) ^ set(self.schema))
      raise errors.DataError(
        f'{self._directory}: an example differs from the first in its features '
        f'{odd}.'
      )
    try:
      return self._serialize(example)
    except ValueError as error:
      reason = ' '.join(str(error).split())
      raise errors.DataError(
        f'{self._directory}: an example differs from the first: {reason}'
      ) from error


def template(folder: pathlib.Path, split: str) -> tfds.core.ShardedFileTemplate:
  """The template for the names of a split's files."""
  return tfds.core.ShardedFileTemplate(
    data_dir=folder,
    dataset_name=_NAME,
    split=split,
    filetype_suffix='array_record',
  )


def describe(
  folder: pathlib.Path,
  features: tfds.features.FeaturesDict,
  splits: Sequence[tfds.core.SplitInfo],
  info: TokenInfo,
  metadata: Mapping[str, Any],
) -> None:
  """Writes the files that describe a data set.

  Args:
    folder: local folder.
    features: features of the examples.
    splits: files of each split.
    info: tokenizers that the ids belong to.
    metadata: JSON values for TFDS metadata.
  """
  tfds.folder_dataset.write_metadata(
    data_dir=str(folder),
    features=features,
    split_infos=list(splits),
    check_data=False,
    description='Clips as token ids.',
    metadata=tfds.core.MetadataDict(metadata),
  )
  (folder / INFO_FILE).write_text(json.dumps(info.to_json(), indent=2) + '\n')


class TokenWriter:
  """Writes a token data set; it appears when it is complete, or not at all.

      with TokenWriter(directory, info) as writer:
        writer.write('train', {'video_tokens': ids_THW, 'text': 'a red ...'})

  All examples have the features, shapes and dtypes of the first.
  """

  def __init__(
    self,
    directory: str | os.PathLike[str],
    info: TokenInfo,
    *,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
  ) -> None:
    """Prepares a folder beside the final one.

    Args:
      directory: folder of the future data set.
      info: tokenizers that the ids belong to.
      metadata: JSON values for TFDS metadata, such as `frame_rate`.
      overwrite: whether an existing data set is replaced.

    Raises:
      DataError: the folder is in use, or cannot be written.
    """
    self._final = storage.path(directory)
    self._partial = self._final.with_name(self._final.name + '.partial')
    if self._final.exists() and not overwrite:
      if not self._final.is_dir() or any(self._final.iterdir()):
        raise errors.DataError(
          f'{self._final} exists already; choose another output or remove it.'
        )
    if storage.is_remote(directory):
      # Records are written to local files and sent when they are complete.
      self._partial = pathlib.Path(tempfile.mkdtemp(prefix='videopoet_tokens_'))
    try:
      if self._partial.exists():
        shutil.rmtree(self._partial)
      self._partial.mkdir(parents=True)
    except OSError as error:
      raise errors.DataError(
        f'{self._final} cannot be written: {error}'
      ) from error
    self._info = info
    self._metadata = dict(metadata or {})
    self._serializer = Serializer(self._final)
    self._shards: dict[str, list[int]] = {}
    self._bytes: dict[str, list[int]] = {}
    self._writers: dict[str, Any] = {}

  def __enter__(self) -> 'TokenWriter':
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    del error, trace
    if kind is None:
      self.finish()
    else:
      self.abandon()

  def write(self, split: str, example: Mapping[str, Any]) -> None:
    """Appends one example to a split; raises DataError if unlike the first."""
    record = self._serializer(example)
    self._writer(split).write(record)
    self._shards[split][-1] += 1
    self._bytes[split][-1] += len(record)

  def _shard(self, split: str, index: int) -> pathlib.Path:
    return self._partial / f'{split}-{index}.unfinished'

  def _writer(self, split: str) -> Any:
    sizes = self._bytes.setdefault(split, [])
    if not sizes or sizes[-1] >= _SHARD_BYTES:
      if split in self._writers:
        self._writers[split].close()
      sizes.append(0)
      self._shards.setdefault(split, []).append(0)
      path = self._shard(split, len(sizes) - 1)
      # One record a group: any record is read alone.
      self._writers[split] = array_record_module.ArrayRecordWriter(
        str(path), 'group_size:1'
      )
    return self._writers[split]

  def finish(self) -> None:
    """Writes the description of the data and moves it to its place."""
    features = self._serializer.schema
    if features is None:
      self.abandon()
      raise errors.DataError(f'{self._final}: there was no example to write.')
    for writer in self._writers.values():
      writer.close()
    infos = []
    for split, lengths in self._shards.items():
      files = template(self._partial, split)
      for index in range(len(lengths)):
        named = files.sharded_filepath(
          shard_index=index, num_shards=len(lengths)
        )
        self._shard(split, index).rename(str(named))
      infos.append(
        tfds.core.SplitInfo(
          name=split,
          shard_lengths=lengths,
          num_bytes=sum(self._bytes[split]),
          filename_template=files,
        )
      )
    describe(self._partial, features, infos, self._info, self._metadata)
    if storage.is_remote(self._final):
      self._send()
      return
    if self._final.exists():
      shutil.rmtree(self._final)
    self._partial.rename(self._final)

  def _send(self) -> None:
    """Copies the data set to its bucket; its info file completes it."""
    try:
      storage.remove_folder(self._final)
      storage.copy_folder(self._partial, self._final, last='dataset_info.json')
    except OSError as error:
      raise errors.DataError(
        f'{self._final} cannot be written: {error}; the data set is complete '
        f'in {self._partial}, copy it from there.'
      ) from error
    shutil.rmtree(self._partial)

  def abandon(self) -> None:
    """Removes everything written so far."""
    for writer in self._writers.values():
      with contextlib.suppress(Exception):
        writer.close()
    shutil.rmtree(self._partial, ignore_errors=True)
