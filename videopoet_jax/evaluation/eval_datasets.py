"""The data sets that protocols take conditions and real clips from.

A set is read by index, in any order, by any number of hosts. The clip that
conditions a sample depends only on the sample's number.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import os
from typing import Any, Protocol

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import permutation
from videopoet_jax.core import storage
from videopoet_jax.evaluation import generation
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.media import cuts
from videopoet_jax.media import masking
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out

SHAPES = 'shapes'
# Names of shapes in motion in protocols, and their levels.
_LEVELS = {SHAPES: 'standard', 'shapes_easy': 'easy'}
_CAPTION_FILE = '.txt'


@dataclasses.dataclass(frozen=True)
class MediaClips:
  """Clips of a media data set, or captions alone.

  Attributes:
    captions: one caption a clip.
    found: arrays by feature of the data set, each with a leading axis of clips.
    origin: the folder, for messages.
  """

  captions: tuple[str, ...]
  found: Mapping[str, np.ndarray]
  origin: str

  def _feature(self, name: str) -> np.ndarray:
    if name not in self.found:
      raise errors.DataError(
        f'{self.origin} has no {name}, which the protocol needs; prepare a '
        'data set that has it (`videopoet prepare`; docs/evaluation.md says '
        'what each protocol takes).'
      )
    return self.found[name]

  @property
  def video_BTHWC(self) -> np.ndarray:
    return self._feature('video')

  @property
  def audio_BT(self) -> np.ndarray:
    silent = int((~self.found.get('has_audio', np.ones(1, bool))).sum())
    if silent:
      # Zeros stand for the sound of a file without any.
      raise errors.DataError(
        f'{self.origin}: {silent} of {len(self.captions)} clips that were read '
        'come from files without sound, which the protocol needs; prepare the '
        'set without these files.'
      )
    return self._feature('audio')

  @property
  def structure_BTHWC(self) -> np.ndarray:
    flow, depth = self._feature('flow'), self._feature('depth')
    return np.stack(
      [masking.structure_from(*pair) for pair in zip(flow, depth, strict=True)]
    )

  def masked_BTHWC(self, task: str) -> np.ndarray:
    """The condition of 'inpainting' or 'outpainting', uint8 frames."""
    masks = {
      'inpainting': masking.inpainting_mask,
      'outpainting': masking.outpainting_mask,
    }
    hole = masks[task](*self.video_BTHWC.shape[1:4])
    return masking.hide(self.video_BTHWC, hole[None])


class Set(Protocol):
  """Clips that are read by index.

  Attributes:
    name: name in protocols.
    size: number of clips; None for an endless set.
    frame_rate: frames a second.
    sampling_rate: samples of sound a second.
    fingerprint: hash of the contents.
  """

  @property
  def name(self) -> str: ...

  @property
  def size(self) -> int | None: ...

  @property
  def frame_rate(self) -> float: ...

  @property
  def sampling_rate(self) -> int: ...

  @property
  def fingerprint(self) -> str: ...

  def read(self, indices: Sequence[int] | np.ndarray) -> generation.Clips:
    """Reads these clips, in this order."""
    ...


@dataclasses.dataclass(frozen=True)
class ShapesSet:
  """Shapes in motion, drawn when read; see `Set`."""

  split: str
  config: shapes_config.ShapesConfig = shapes_config.ShapesConfig()
  name: str = SHAPES
  size: int | None = None

  @property
  def frame_rate(self) -> float:
    return self.config.frame_rate

  @property
  def sampling_rate(self) -> int:
    return self.config.sampling_rate

  @property
  def fingerprint(self) -> str:
    """Hash of the settings: the clips are a function of them."""
    return _digest(repr(self.config), self.split)

  def read(self, indices: Sequence[int] | np.ndarray) -> held_out.Clips:
    """Draws these clips; a clip is the same each time."""
    return held_out.draw_at(self.config, indices, self.split)


class MediaSet:
  """A media data set in a folder, as `videopoet prepare` writes; see `Set`."""

  def __init__(self, name: str, directory: str, split: str) -> None:
    """Opens the data set; raises DataError if the set or split is missing."""
    from videopoet_jax.data import records

    self.name = name
    self._records = records.open_records(directory)
    whole = split == protocol_lib.ALL
    self._splits = self._records.splits if whole else (split,)
    sizes = [self._records.size(part) for part in self._splits]
    self._ends = np.cumsum(sizes)
    self.size = int(self._ends[-1])
    metadata = self._records.metadata
    # None if clips have the rate of their files; pages then show 25.
    self.rate = cuts.parse_rate(metadata.get('frame_rate', 8.0), 'frame_rate')
    self.frame_rate = self.rate or 25.0
    self.sampling_rate = int(metadata.get('sampling_rate', 16_000))

  @property
  def directory(self) -> str:
    return self._records.directory

  @property
  def cut(self) -> cuts.Cut | None:
    """How its clips were cut from videos; None if not recorded."""
    if 'video' not in self._records.features:
      return None
    shape = tuple(size or 0 for size in self._records.shape('video'))
    return cuts.of_set(self._records.metadata, shape)

  @property
  def fingerprint(self) -> str:
    """Hash of the set's description and the split's number and bytes."""
    folder = storage.path(self._records.directory)
    info = (folder / 'dataset_info.json').read_text(encoding='utf-8')
    return _digest(info, *self._splits)

  def read(self, indices: Sequence[int] | np.ndarray) -> MediaClips:
    """Reads these clips with all features that conditions need."""
    wanted = ('video', 'audio', 'has_audio', 'caption', 'flow', 'depth')
    names = [name for name in wanted if name in self._records.features]
    examples = []
    for index in indices:
      part = int(np.searchsorted(self._ends, index, side='right'))
      row = int(index) - (int(self._ends[part - 1]) if part else 0)
      examples += self._records.arrays(self._splits[part], [row], names)
    captions = [_text(example.pop('caption', '')) for example in examples]
    found = {
      name: np.stack([example[name] for example in examples])
      for name in names
      if name != 'caption'
    }
    return MediaClips(tuple(captions), found, self._records.directory)


class CaptionSet:
  """A text file, one caption a line; see `Set`."""

  frame_rate = 8.0
  sampling_rate = 16_000

  def __init__(self, name: str, path: str) -> None:
    """Reads the file; raises DataError if it is missing or empty."""
    self.name = name
    self._path = path
    try:
      text = storage.path(path).read_text(encoding='utf-8')
    except OSError as error:
      raise errors.DataError(
        f'cannot read the captions {path}: {error.strerror or error}; give a '
        'text file with a caption on each line.'
      ) from error
    self._captions = [line.strip() for line in text.splitlines()]
    self._captions = [line for line in self._captions if line]
    if not self._captions:
      raise errors.DataError(f'{path} is empty; expected a caption a line.')
    self.size = len(self._captions)

  @property
  def fingerprint(self) -> str:
    return _digest(*self._captions)

  def read(self, indices: Sequence[int] | np.ndarray) -> MediaClips:
    """Returns these captions."""
    captions = tuple(self._captions[int(index)] for index in indices)
    return MediaClips(captions, {}, self._path)


def open_set(
  name: str, split: str, folders: Mapping[str, str | os.PathLike[str]]
) -> Set:
  """Opens a set by its name in a protocol.

  Args:
    name: 'shapes', 'shapes_easy', or a key of `folders`.
    split: name of the split.
    folders: folders of media data sets, or text files of captions, by name; ''
      stands for one that the user has not given.

  Raises:
    DataError: it is not bound, does not exist, or has no such split; the
      message names the data to prepare and its binding.
  """
  if name in _LEVELS and not folders.get(name):
    config = shapes_config.ShapesConfig.of_level(_LEVELS[name])
    return ShapesSet(split, config, name)
  folder = str(folders.get(name, ''))
  if not folder:
    raise errors.DataError(
      f'the protocol needs the set {name!r} (split {split!r}), which is bound '
      'to no folder: make it with `videopoet prepare` (docs/evaluation.md says '
      f'how) and give --gin.{name.upper()}="\'FOLDER\'".'
    )
  if folder.endswith(_CAPTION_FILE):
    return CaptionSet(name, folder)
  try:
    return MediaSet(name, folder, split)
  except errors.DataError as error:
    raise errors.DataError(
      f'set {name!r} of the protocol: {error} It is bound by '
      f'--gin.{name.upper()}.'
    ) from error


def places(
  positions: np.ndarray, size: int | None, order_seed: int, salt: int = 0
) -> np.ndarray:
  """Returns indices of the clips at some positions of a set's order.

  Args:
    positions: int, from 0.
    size: number of clips of the set; None for an endless set.
    order_seed: seed of the permutation; -1 keeps the set's order.
    salt: number that gives another order for the same seed.

  Returns:
    int64, with the shape of `positions`.

  Raises:
    DataError: a position is out of range.
  """
  positions = np.asarray(positions, np.int64)
  if size is not None and positions.size and positions.max() >= size:
    raise errors.DataError(
      f'the protocol takes {positions.max() + 1} different clips and the set '
      f'has {size}; prepare as many, or change the protocol (which changes its '
      'id).'
    )
  if order_seed < 0:
    return positions
  if size is None:
    raise errors.ConfigError(
      'shapes in motion has no end and so no permuted order; leave '
      'EvaluationTask.order_seed at -1.'
    )
  key = permutation.fold(order_seed, 'evaluation', salt)
  return permutation.permute(positions, size, key)


def _text(value: Any) -> str:
  return value.decode('utf-8') if isinstance(value, bytes) else str(value)


def _digest(*parts: str) -> str:
  return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]
