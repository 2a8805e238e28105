"""Finds media files and cuts them into clips."""

from collections.abc import Iterator, Sequence
import dataclasses
import itertools
import pathlib

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.media import containers
from videopoet_jax.media import cuts
from videopoet_jax.media import pictures
from videopoet_jax.media import sound as sound_lib
from videopoet_jax.media import video as video_lib


@dataclasses.dataclass(frozen=True)
class ClipConfig:
  """Definition of a clip.

  Attributes:
    num_frames: frames of a clip.
    frame_rate: frames a second; None takes the frames of the file. Clips then
      differ in duration and have no sound.
    height: height in pixels.
    width: width in pixels.
    sampling_rate: samples a second of the sound.
    cut: one of `cuts.CUTS`: all clips of a file or one.
  """

  num_frames: int = 17
  frame_rate: float | None = 8.0
  height: int = 128
  width: int = 128
  sampling_rate: int = 16_000
  cut: str = cuts.CONSECUTIVE

  def __post_init__(self) -> None:
    """Refuses sizes that no clip can have; the ConfigError names the flag."""
    errors.check_choice('--cut', self.cut, cuts.CUTS)
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if isinstance(value, int | float) and value <= 0:
        raise errors.ConfigError(
          f'--{field.name} is {value}; it has to be above 0'
        )

  @property
  def seconds(self) -> float:
    """Length of a clip: 2.125 s for 17 frames at 8 a second."""
    if self.frame_rate is None:
      raise ValueError('clips at the rate of their files differ in length')
    return self.num_frames / self.frame_rate

  @property
  def has_sound(self) -> bool:
    """Whether clips have sound, which requires clips of one duration."""
    return self.frame_rate is not None

  @property
  def num_samples(self) -> int:
    """Samples of sound in a clip."""
    return round(self.seconds * self.sampling_rate) if self.has_sound else 0

  @property
  def description(self) -> cuts.Cut:
    """The description that a data set stores."""
    return cuts.Cut(
      self.cut, self.num_frames, self.frame_rate, self.height, self.width
    )

  def most_clips(self, seconds: float, frame_rate: float) -> int:
    """Returns the most clips that a file may yield.

    Args:
      seconds: duration of the file. A container may state a slightly short one,
        hence one clip more.
      frame_rate: frame rate of the file, in frames a second.
    """
    if self.cut != cuts.CONSECUTIVE:
      return 1
    rate = self.frame_rate or max(frame_rate, 1.0)
    return int(seconds * rate / self.num_frames) + 1


@dataclasses.dataclass(frozen=True)
class Clip:
  """One clip of one file.

  Attributes:
    clip_id: `<source>#<index>`, the index in five digits.
    source: the file, relative to the input folder.
    start: seconds from the first frame of the file.
    end: end in seconds from the first frame of the file.
    video_THWC: uint8 (num_frames, height, width, 3).
    audio_T: int16 (num_samples,); zeros where there is no sound.
    has_audio: whether the file has sound.
  """

  clip_id: str
  source: str
  start: float
  end: float
  video_THWC: np.ndarray
  audio_T: np.ndarray
  has_audio: bool


def find_files(
  inputs: Sequence[pathlib.Path], *, with_pictures: bool = False
) -> dict[str, pathlib.Path]:
  """Finds the media files of some folders and files.

  Args:
    inputs: folders, searched with their subfolders, and single files.
    with_pictures: whether folders are searched for pictures beside videos.

  Returns:
    Path by source name, sorted: the name is relative to the input folder, or
    the bare name of a file given by itself.

  Raises:
    DataError: an input does not exist, two files share a source name, or
      there is no media file at all.
  """
  extensions: tuple[str, ...] = containers.EXTENSIONS
  if with_pictures:
    extensions += pictures.EXTENSIONS
  found: dict[str, pathlib.Path] = {}
  for given in inputs:
    if given.is_dir():
      files = {
        p.relative_to(given).as_posix(): p
        for p in sorted(given.rglob('*'))
        if p.suffix.lower() in extensions
        and p.is_file()
        and not p.name.startswith('.')
      }
      if not files:
        raise errors.DataError(
          f'{given} holds no video{" and no picture" * with_pictures}: looked '
          f'for {" ".join(extensions)} in it and its subfolders'
        )
    elif given.is_file():
      files = {given.name: given}
    else:
      raise errors.DataError(
        f'{given} does not exist; --input takes files and folders'
      )
    for source, path in files.items():
      if found.setdefault(source, path) != path:
        raise errors.DataError(
          f'{path} and {found[source]} have the same name below their inputs; '
          'give the folder above both instead'
        )
  return dict(sorted(found.items()))


def cut(path: pathlib.Path, source: str, config: ClipConfig) -> Iterator[Clip]:
  """Yields the clips of a file according to `ClipConfig.cut`.

  Consecutive clips leave out a remainder shorter than one.

  Raises:
    UnusableFileError: the file is too short, or cannot be decoded.
  """
  rate, wanted = config.frame_rate, config.num_frames
  sound = None
  if config.has_sound:
    sound = sound_lib.read(path, config.sampling_rate)
  first = 0
  if config.cut == cuts.CENTRAL:
    first = max(0, (video_lib.count_frames(path, rate) - wanted) // 2)
  frames = video_lib.timed_frames(
    path, rate, config.height, config.width, first
  )
  for index in itertools.count():
    found = list(itertools.islice(frames, wanted))
    if len(found) < wanted:
      if index == 0:
        raise containers.UnusableFileError(
          f'{path}: is too short: {_length(len(found), rate)}, a clip needs '
          f'{_length(wanted, rate)}'
        )
      return
    start, end = found[0].start, found[-1].end
    samples = np.zeros(0, np.int16)
    if rate is not None:
      start, end = first / rate, (first + wanted) / rate
      samples = sound_lib.clip(
        sound, round(start * config.sampling_rate), config.num_samples
      )
    yield Clip(
      clip_id=f'{source}#{index:05d}',
      source=source,
      start=start,
      end=end,
      video_THWC=np.stack([frame.pixels_HW3 for frame in found]),
      audio_T=samples,
      has_audio=sound is not None,
    )
    if config.cut != cuts.CONSECUTIVE:
      return
    first += wanted


def _length(count: int, frame_rate: float | None) -> str:
  if frame_rate is None:
    return f'{count} frames'
  return (
    f'{count / frame_rate:.3f} s ({count} frames at {frame_rate:g} a second)'
  )
