"""Encodes a data set of clips into a data set of tokens."""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import functools
import math
import os
import time
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import progress
from videopoet_jax.core import specs
from videopoet_jax.core import storage
from videopoet_jax.core import upscaling
from videopoet_jax.data import records as records_lib
from videopoet_jax.data import tokens as tokens_lib
from videopoet_jax.media import masking
from videopoet_jax.media import resizing
from videopoet_jax.preparation import hosts as hosts_lib
from videopoet_jax.preparation import token_files
from videopoet_jax.tokenizers import frame_counts
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle

FRAME_POLICIES = frame_counts.POLICIES
_SIGNALS = ('video', 'audio', 'flow', 'depth')
_MOST_LABEL_VALUES = 64  # A larger array is a signal, not a label.
_TEXT_BYTES = 256  # Approximate size of caption and labels.

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Summary:
  """Summary of the written data set.

  Attributes:
    directory: the data set's folder.
    clips: number of clips by split.
    features: names of the features.
    seconds: the time it took.
    notice: line that says how many frames were trimmed or padded, or ''.
  """

  directory: str
  clips: dict[str, int]
  features: tuple[str, ...]
  seconds: float
  notice: str = ''


def tokenize(
  media: storage.Path,
  visual_tokenizer: storage.Path,
  output: storage.Path,
  *,
  audio_tokenizer: storage.Path = '',
  splits: Sequence[str] = (),
  most: int = 0,
  batch: int = 64,
  conditions: Sequence[str] = ('inpainting', 'outpainting', 'structure'),
  condition_share: float = 1.0,
  reduce: int = 1,
  low_scale: int = 0,
  low_tokenizer: str = '',
  file_clips: int = 0,
  frames: str = 'refuse',
  overwrite: bool = False,
  meter: progress.Meters = progress.Meter,
  hosts: hosts_lib.Hosts | None = None,
) -> Summary:
  """Writes a token data set.

  Args:
    media: directory of a media data set.
    visual_tokenizer: folder of the visual tokenizer.
    output: directory to write; it appears when it is complete.
    audio_tokenizer: folder of the audio tokenizer; without it, or without
      sound in the data set, there are no audio tokens.
    splits: splits of the data set, all by default.
    most: number of clips of each split, the first ones; 0 for all.
    batch: number of clips encoded together; long clips are read and encoded
      in parts of a batch, see `clips_together`.
    conditions: conditions to encode besides the clip; structure only if the
      data set has flow and depth.
    condition_share: share of the clips whose conditions are encoded, to save
      time; the others hold zeros and 0 in `has_conditions`, by which the tasks
      leave them out.
    reduce: number that height and width of the clips are divided by first
      (bicubic, `media.resizing`); structure is then left out.
    low_scale: if not 0, `low_tokens` are the ids of each clip with height and
      width divided by this.
    low_tokenizer: folder of the tokenizer for these; the visual tokenizer
      unless given.
    file_clips: number of clips of a file, rounded up to whole batches; 0
      decides by their size. Files are the unit that hosts share and that is
      repeated after a kill.
    frames: what happens to clips that do not have 1 + temporal_stride * k
      frames: 'refuse', 'trim' or 'pad' (`tokenizers.frame_counts`). Sound is
      trimmed, or padded with silence, to the same time. The hosts' log and the
      summary say so.
    overwrite: whether an existing data set is replaced.
    meter: makes the meter that shows the progress; none by default.
    hosts: this host among those that make the data set; alone unless given.

  Returns:
    A summary.

  Raises:
    UserError: the media data set or a tokenizer cannot be read, they do not
      match, or the output cannot be written.
  """
  started = time.monotonic()
  records = records_lib.open_records(media)
  splits = tuple(splits) or records.splits
  counts = {split: records.size(split) for split in splits}
  if most:
    counts = {split: min(size, most) for split, size in counts.items()}
  visual = interface.load(visual_tokenizer, 'visual_tokenizer')
  audio = None
  if audio_tokenizer and 'audio' in records.features:
    audio = interface.load(audio_tokenizer, 'audio_tokenizer')
  low = None
  if low_tokenizer and not low_scale:
    raise errors.ConfigError(
      f'--low_tokenizer is {low_tokenizer} and there is no --low_scale; give '
      '--low_scale 2 for clips of half the height and width'
    )
  if low_scale:
    low = Low(visual, low_scale)
    if low_tokenizer:
      found = interface.load(low_tokenizer, 'visual_tokenizer')
      low = Low(found, low_scale)
  encoder = Encoder(
    records,
    visual,
    audio,
    conditions,
    batch,
    condition_share,
    reduce,
    low,
    frames,
  )
  hosts = hosts or hosts_lib.Hosts()
  if encoder.fit.notice:
    hosts.log(encoder.fit.notice)
  info = tokens_lib.TokenInfo(
    visual=visual.spec,
    audio=audio.spec if audio else None,
    visual_fingerprint=visual.fingerprint,
    audio_fingerprint=audio.fingerprint if audio else '',
    clip=encoder.clip,
    low=low.tokenizer.spec if low else None,
    low_fingerprint=low.tokenizer.fingerprint if low else '',
    low_scale=low_scale,
    flow_range=(
      masking.flow_range(encoder.clip[1])
      if 'structure' in encoder.conditions
      else 0.0
    ),
  )
  settings: dict[str, Any] = {
    'job': 'tokenize',
    'media': records.fingerprint,
    'counts': counts,
    'conditions': encoder.conditions,
    'condition_share': condition_share,
    'reduce': reduce,
  }
  if encoder.fit.notice:
    settings['frames'] = frames
  features = token_files.make(
    hosts,
    output,
    counts,
    lambda piece: encoder.examples(piece.split, piece.first, piece.stop),
    batch=batch,
    file_size=file_clips,
    example_bytes=encoder.example_bytes,
    settings=settings,
    overwrite=overwrite,
    info=info,
    metadata=records.metadata,
    meter=meter,
    unit='clips',
  )
  return Summary(
    os.fspath(output),
    counts,
    features,
    time.monotonic() - started,
    encoder.fit.notice,
  )


@dataclasses.dataclass(frozen=True)
class Low:
  """Encoding of clips at low resolution.

  Attributes:
    tokenizer: tokenizer of these clips.
    scale: number that their height and width are divided by.
  """

  tokenizer: interface.TokenizerBundle
  scale: int


class Encoder:
  """Converts batches of a media data set to examples of tokens.

  Attributes:
    clip: frames, height and width of the encoded clips.
    fit: how the clips' frames are fitted to the tokenizer.
  """

  def __init__(
    self,
    records: records_lib.Records,
    visual: interface.TokenizerBundle,
    audio: interface.TokenizerBundle | None,
    conditions: Sequence[str],
    batch: int,
    condition_share: float = 1.0,
    reduce: int = 1,
    low: Low | None = None,
    frames: str = 'refuse',
  ) -> None:
    """Checks that clips and tokenizers match.

    Args:
      records: the media data set.
      visual: the visual tokenizer.
      audio: the audio tokenizer, if sound is to be encoded.
      conditions: see `tokenize`.
      batch: number of clips encoded together.
      condition_share: see `tokenize`.
      reduce: see `tokenize`.
      low: encoding at low resolution, if any.
      frames: see `tokenize`.

    Raises:
      UserError: they do not.
    """
    known = ('inpainting', 'outpainting', 'structure')
    for name in conditions:
      if name not in known:
        hint = errors.near_names(name, known)
        raise errors.ConfigError(f'there is no condition {name!r}{hint}.')
    if batch < 1:
      raise errors.ConfigError(f'--batch is {batch}; expected at least 1.')
    if not 0 <= condition_share <= 1:
      raise errors.ConfigError(
        f'--condition_share is {condition_share}; expected 0 to 1.'
      )
    if condition_share != 1 and not conditions:
      raise errors.ConfigError(
        f'--condition_share {condition_share:g} cannot act without '
        '--conditions; leave it out.'
      )
    self._share = condition_share
    self._records = records
    self._visual = visual
    self._audio = audio
    self._batch = batch
    given, height, width, _ = records.schema(['video']).shape['video']
    self._together = visual.batch_size = clips_together(batch, given)
    if audio:
      audio.batch_size = self._together
    self._reduce, self._low = reduce, low
    self.fit = _fit(given, frames, visual.spec, records.directory)
    self.clip = _encoded_size(
      (self.fit.used, height, width),
      reduce,
      visual.spec,
      low,
      records.directory,
    )
    self._check_rate('frame_rate', visual.spec.frame_rate)
    if low:
      low.tokenizer.batch_size = self._together
      self._check_rate('frame_rate', low.tokenizer.spec.frame_rate)
    if audio:
      self._check_rate('sampling_rate', audio.spec.sampling_rate)
    has_structure = reduce == 1 and {'flow', 'depth'} <= set(records.features)
    self._conditions = tuple(
      c for c in conditions if c != 'structure' or has_structure
    )
    self._masks = {
      'inpainting': masking.inpainting_mask(*self.clip),
      'outpainting': masking.outpainting_mask(*self.clip),
    }
    wanted = ['video']
    wanted += ['audio'] if audio else []
    wanted += ['flow', 'depth'] if 'structure' in self._conditions else []
    self._labels = [n for n in records.features if self._is_label(n)]
    self._names = [*wanted, *self._labels]

  def _check_rate(self, name: str, expected: float) -> None:
    found = self._records.metadata.get(name)
    # Sets at the rate of their files hold 'native'.
    if (
      found is not None
      and str(found) != str(expected)
      and (isinstance(found, str) or float(found) != float(expected))
    ):
      raise errors.DataError(
        f'{self._records.directory} has {name} {found}, the tokenizer was made '
        f'for {expected}; prepare the clips again with --{name} {expected}.'
      )

  def _is_label(self, name: str) -> bool:
    if name in _SIGNALS:
      return False
    shape = self._records.shape(name)
    known = [size for size in shape if size is not None]
    return shape == tuple(known) and math.prod(known) <= _MOST_LABEL_VALUES

  @property
  def conditions(self) -> tuple[str, ...]:
    """The conditions that are encoded."""
    return self._conditions

  @functools.cached_property
  def example_bytes(self) -> int:
    """Approximate size of one example of tokens."""
    numbers = math.prod(self._visual.spec.latent_shape(*self.clip))
    numbers *= 1 + len(self._conditions)
    if self._audio:
      spec = self._audio.spec
      samples = math.prod(n or 0 for n in self._records.shape('audio'))
      numbers += spec.levels * (samples // spec.hop)
    return 4 * numbers + _TEXT_BYTES

  def examples(
    self, split: str, first: int, stop: int
  ) -> Iterator[Mapping[str, Any]]:
    """Yields examples of a split, in the order on disk.

    Args:
      split: name of the split.
      first: number of the first example, a multiple of the batch.
      stop: number of the example after the last.
    """
    dataset = self._records.examples(split, self._names, first, stop)
    parts = dataset.batch(self._together).prefetch(2).as_numpy_iterator()
    for number, arrays in enumerate(parts):
      index = (first + number * self._together) // self._batch
      # Whole batches: those at which the share's multiples step up.
      chosen = int((index + 1) * self._share) > int(index * self._share)
      yield from self._encode(dict(arrays), chosen or self._share == 1)

  def _encode(self, arrays: Arrays, chosen: bool) -> list[dict[str, Any]]:
    count = len(arrays['video'])
    if count < self._together:
      # Filled up, so that the last batch does not compile a second program.
      repeats = np.minimum(np.arange(self._together), count - 1)
      arrays = {name: array[repeats] for name, array in arrays.items()}
    for name in {'video', 'flow', 'depth'} & set(arrays):
      arrays[name] = self.fit.apply(arrays[name])
    video = resizing.reduce_pixels(arrays['video'], self._reduce)
    columns: Arrays = {'video_tokens': self._visual.encode(video)}
    if self._low:
      columns['low_tokens'] = self._low.tokenizer.encode(
        resizing.reduce_pixels(video, self._low.scale)
      )
    for name in self._conditions:
      if not chosen:
        columns[f'{name}_tokens'] = np.zeros_like(columns['video_tokens'])
        continue
      if name == 'structure':
        shown = masking.structure_from(arrays['flow'], arrays['depth'])
      else:
        shown = masking.hide(video, self._masks[name])
      columns[f'{name}_tokens'] = self._visual.encode(shown)
    if self._audio:
      columns['audio_tokens'] = self._audio.encode(self._sound(arrays['audio']))
    if self._conditions:
      columns['has_conditions'] = np.full(self._together, chosen, np.int32)
    for name in self._labels:
      columns['text' if name == 'caption' else name] = arrays[name]
    return [
      {name: column[row] for name, column in columns.items()}
      for row in range(count)
    ]

  def _sound(self, audio_BT: np.ndarray) -> np.ndarray:
    """Sound that lasts as long as the encoded frames."""
    if not self.fit.notice:
      return audio_BT
    samples = audio_BT.shape[1] * self.fit.used // self.fit.given
    silence = max(0, samples - audio_BT.shape[1])
    return np.pad(audio_BT, ((0, 0), (0, silence)))[:, :samples]


def _fit(
  given: int, policy: str, spec: specs.VisualSpec, directory: str
) -> frame_counts.FrameFit:
  """Fits the frames of a data set; raises LayoutError if they are refused."""
  errors.check_choice('--frames', policy, frame_counts.POLICIES)
  try:
    return frame_counts.fit(spec, given, policy)
  except errors.LayoutError as error:
    raise errors.LayoutError(
      f'the clips of {directory} have {given} frames: {error} Or give --frames '
      'trim or --frames pad.'
    ) from error


def clips_together(batch: int, frames: int) -> int:
  """Number of clips of a batch that are read and encoded together.

  Together they have no more frames than a batch of clips that the tokenizer
  encodes in one chunk, so long clips take no more memory than short ones.

  Args:
    batch: number of clips in a batch.
    frames: frames of a clip.

  Returns:
    A divisor of `batch`, at least 1.
  """
  most = max(1, batch * visual_bundle.CHUNK_FRAMES // frames)
  return max(n for n in range(1, min(batch, most) + 1) if batch % n == 0)


def _encoded_size(
  size: tuple[int, int, int],
  reduce: int,
  spec: specs.VisualSpec,
  low: Low | None,
  directory: str,
) -> tuple[int, int, int]:
  """Size of the encoded clips; raises LayoutError if it is invalid."""
  frames, height, width = size
  try:
    resizing.check_scale(height, width, reduce)
    size = (frames, height // reduce, width // reduce)
    spec.latent_shape(*size)
    if low:
      unit = upscaling.Upscaling(*size, scale=low.scale)
      latent, low_latent = (
        unit.latent(spec),
        unit.low_latent(low.tokenizer.spec),
      )
      if latent[0] != low_latent[0]:
        raise errors.LayoutError(
          f'the tokenizers hold {frames} frames in {latent[0]} and, at low '
          f'resolution, in {low_latent[0]} latent frames; they must agree.'
        )
  except errors.LayoutError as error:
    asked = f', reduced by {reduce},' if reduce != 1 else ''
    raise errors.LayoutError(
      f'the clips of {directory} are {height} x {width}{asked}: {error} '
      'Prepare them with --height and --width of such sizes.'
    ) from error
  return size
