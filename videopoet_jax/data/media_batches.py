"""Batches of clips for the tokenizers, as pure functions of the step."""

from collections.abc import Mapping
import dataclasses
import threading

import gin
import numpy as np
import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.core import permutation
from videopoet_jax.data import batch_reader as batch_reader_lib
from videopoet_jax.data import batches as batches_lib
from videopoet_jax.data import records as records_lib
from videopoet_jax.data import source as source_lib
from videopoet_jax.media import masking
from videopoet_jax.media import resizing

CLIP = 'clip'
IMAGE = 'image'
VIDEO = 'video'
AUDIO = 'audio'
_SIDES = ('top', 'left')


@gin.configurable
@dataclasses.dataclass(frozen=True)
class ClipMixture:
  """Kinds of clips that a visual tokenizer is trained on.

  The conditions of in- and outpainting and of stylization are encoded by the
  same tokenizer, so some of the training clips are of these kinds.

  Attributes:
    masked_share: share of the clips with hidden pixels, half of them for
      inpainting, half for outpainting.
    structure_share: share of the clips that show flow and depth instead.
    image_share: share of the batches that hold single frames, the same number
      of frames as in a batch of clips.
    scales: each clip is reduced, bicubic, by one of these whole numbers, drawn
      uniformly: a tokenizer for all sizes of a super-resolution cascade.
    crop: side in pixels of the square that is then cropped at a random place; 0
      keeps clips whole, which requires a single scale.
    crop_tries: number of random places for the crop; the one with the strongest
      edges is taken, so that less of a short run goes to plain ground. 1 takes
      any place.
  """

  masked_share: float = 0.0
  structure_share: float = 0.0
  image_share: float = 0.0
  scales: tuple[int, ...] = (1,)
  crop: int = 0
  crop_tries: int = 1

  def __post_init__(self) -> None:
    """Raises errors.ConfigError for an invalid value."""
    object.__setattr__(self, 'scales', tuple(self.scales))  # gin gives lists.
    for name in ('masked_share', 'structure_share', 'image_share'):
      value = getattr(self, name)
      if not 0 <= value <= 1:
        raise errors.ConfigError(
          f'ClipMixture.{name} is {value}; expected a share from 0 to 1.'
        )
    if not self.scales or min(self.scales) < 1:
      raise errors.ConfigError(
        f'ClipMixture.scales is {self.scales}; expected whole numbers from 1.'
      )
    errors.check_range(self, 'crop')
    if self.crop_tries < 1:
      raise errors.ConfigError(
        f'ClipMixture.crop_tries is {self.crop_tries}; expected a whole number '
        'from 1.'
      )
    if len(set(self.scales)) > 1 and not self.crop:
      raise errors.ConfigError(
        f'ClipMixture.scales {self.scales} makes clips of several sizes; bind '
        'ClipMixture.crop to the pixels of a square that all of them hold.'
      )
    if self.masked_share + self.structure_share > 1:
      raise errors.ConfigError(
        'ClipMixture.masked_share and structure_share add up to more than 1.'
      )


class MediaBatches:
  """Clips or their sound from a media data set, for the one training loop.

  A batch has `video`, uint8 (B, T, H, W, 3), or `audio`, int16 (B, samples).
  """

  def __init__(
    self,
    directory: str,
    feature: str,
    *,
    batch_size: int,
    split: str = batches_lib.TRAIN,
    seed: int = 0,
    mixture: ClipMixture = ClipMixture(),
    shuffle: bool = True,
  ) -> None:
    """Opens the data set.

    Args:
      directory: directory of the media data set.
      feature: `video` or `audio`.
      batch_size: clips of a global batch.
      split: split of the data set.
      seed: seed of the order and the mixture.
      mixture: kinds of clips; sound is never changed.
      shuffle: False for validation: the order on disk.

    Raises:
      DataError: the data set, the split or a feature is missing.
    """
    self._seed = permutation.fold(seed, 'media')
    self._feature = feature
    self._mixture = mixture if feature == VIDEO else ClipMixture()
    self._shard = source_lib.WHOLE
    self._batch_size = batch_size
    features = [feature]
    if self._mixture.structure_share:
      features += ['flow', 'depth']
    self._records = records_lib.open_records(directory)
    schema = self._records.schema(features)
    selection = source_lib.Selection()
    if feature == AUDIO:
      # Clips without sound hold zeros in its place.
      selection = source_lib.Selection(minimum=(('has_audio?', 1),))
    self._source = source_lib.IndexedSource(
      directory,
      features=list(schema),
      stream=feature,
      batch_size=batch_size,
      selection=selection,
    )
    if feature == VIDEO:
      _check_sizes(schema.shape[VIDEO], self._mixture, directory)
    self._order = (split, seed, shuffle)
    self._source.order(split, seed, shuffle)
    self._stream = batch_reader_lib.Stream(
      self._open, f'{feature} of {directory}'
    )
    self._lock = threading.Lock()

  def read_part(self, index: int, count: int) -> None:
    """From here on reads part `index` of `count` of every batch."""
    with self._lock:
      self._shard = seqio.ShardInfo(index, count)
      self._stream.close()

  def units(self) -> tuple[str, ...]:
    return (CLIP, IMAGE) if self._mixture.image_share else (CLIP,)

  def unit_at(self, step: int) -> str:
    """`image` or `clip`: their shapes differ, so each is compiled once."""
    key = permutation.fold(self._seed, 'unit')
    drawn = permutation.uniform(key, np.array([step]))[0]
    return IMAGE if drawn < self._mixture.image_share else CLIP

  def batch(self, step: int) -> Mapping[str, np.ndarray]:
    """This host's part of the batch of a step; next steps are read ahead.

    Raises:
      DataError: a record cannot be read.
    """
    with self._lock:
      return self._make(step, self._stream.read(step))

  def _open(self, start: int) -> tf.data.Dataset:
    split, seed, shuffle = self._order
    dataset = self._source.replace(start=start).get_dataset(
      split, shuffle, seed, self._shard
    )
    part = self._batch_size // self._shard.num_shards
    return dataset.batch(part, drop_remainder=True)

  def _make(
    self, step: int, arrays: dict[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    if self._feature != VIDEO:
      return {self._feature: arrays[self._feature]}
    video = arrays[VIDEO].copy()  # TensorFlow's memory is read-only.
    # One number for each clip's position in the stream.
    places = arrays[source_lib.POSITION]
    chance = permutation.uniform(permutation.fold(self._seed, 'kind'), places)
    hidden = self._mixture.masked_share
    structure = hidden + self._mixture.structure_share
    for row in np.flatnonzero(chance < structure):
      if chance[row] >= hidden:
        video[row] = masking.structure_from(
          arrays['flow'][row], arrays['depth'][row]
        )
        continue
      size = video.shape[1:4]
      if chance[row] < hidden / 2:
        mask = masking.inpainting_mask(*size)
      else:
        mask = masking.outpainting_mask(*size)
      video[row] = masking.hide(video[row], mask)
    video = self._resized(video, places)
    if self.unit_at(step) == IMAGE:
      # (B, T, H, W, C) -> (B T, 1, H, W, C): every frame is a picture.
      video = video.reshape(-1, 1, *video.shape[2:])
    return {VIDEO: video}

  def _resized(self, video: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Applies the scale and the crop drawn for each position."""
    scales, crop = self._mixture.scales, self._mixture.crop
    if not crop:
      return resizing.reduce_pixels(video, scales[0])

    def draw(name: str) -> np.ndarray:
      return permutation.uniform(permutation.fold(self._seed, name), places)

    # Further tries have names of their own, so that the first is unaffected.
    tries = [''] + [str(n) for n in range(1, self._mixture.crop_tries)]
    tops, lefts = ([draw(f'{side}{n}') for n in tries] for side in _SIDES)
    cuts = []
    for row, (clip, drawn) in enumerate(zip(video, draw('scale'), strict=True)):
      clip = resizing.reduce_pixels(clip, scales[int(drawn * len(scales))])
      found = []
      for top, left in zip(tops, lefts, strict=True):
        y = int(top[row] * (clip.shape[1] - crop + 1))
        x = int(left[row] * (clip.shape[2] - crop + 1))
        found.append(clip[:, y : y + crop, x : x + crop])
      cuts.append(max(found, key=_edges) if len(found) > 1 else found[0])
    return np.stack(cuts)


def _edges(clip_THWC: np.ndarray) -> float:
  """Sum of squared differences of neighbouring pixels, of green."""
  green = clip_THWC[..., 1].astype(np.float32)
  return sum(float(np.square(np.diff(green, axis=a)).sum()) for a in (1, 2))


def _check_sizes(
  shape: tuple[int, ...], mixture: ClipMixture, directory: str
) -> None:
  """Refuses scales and crops that clips of this shape do not admit."""
  _, height, width, _ = shape
  for scale in mixture.scales:
    resizing.check_scale(height, width, scale)
    if min(height, width) // scale < mixture.crop:
      raise errors.ConfigError(
        f'ClipMixture.crop is {mixture.crop}; clips of {directory} reduced by '
        f'{scale} are {height // scale} x {width // scale}. Bind at most '
        f'{min(height, width) // scale}, or leave {scale} out of '
        'ClipMixture.scales.'
      )
