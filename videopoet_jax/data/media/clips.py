"""Finds media files and cuts them into clips."""

from collections.abc import Iterator, Sequence
import dataclasses
import itertools
import pathlib

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.media import containers
from videopoet_jax.media import sound as sound_lib
from videopoet_jax.media import video as video_lib


@dataclasses.dataclass(frozen=True)
class ClipConfig:
  """What a clip is.

  Attributes:
    num_frames: frames of a clip.
    frame_rate: frames a second.
    height: in pixels.
    width: in pixels.
    sampling_rate: of the sound, in samples a second.
  """

  num_frames: int = 17
  frame_rate: float = 8.0
  height: int = 128
  width: int = 128
  sampling_rate: int = 16_000

  def __post_init__(self) -> None:
    """Refuses sizes that no clip can have; ConfigError names the flag."""
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if value <= 0:
        raise errors.ConfigError(
          f'--{field.name} is {value}; it has to be above 0'
        )

  @property
  def seconds(self) -> float:
    """Length of a clip: 2.125 s for 17 frames at 8 a second."""
    return self.num_frames / self.frame_rate

  @property
  def num_samples(self) -> int:
    """Samples of sound in a clip."""
    return round(self.seconds * self.sampling_rate)


@dataclasses.dataclass(frozen=True)
class Clip:
  """One clip of one file.

  Attributes:
    clip_id: `<source>#<index>`, the index in five digits.
    source: the file, relative to the input folder.
    start: seconds from the first frame of the file.
    end: likewise.
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


def find_files(inputs: Sequence[pathlib.Path]) -> dict[str, pathlib.Path]:
  """Finds the media files of some folders and files.

  Args:
    inputs: folders, searched with their subfolders, and single files.

  Returns:
    Path by source name, sorted: relative to its folder; the bare name of a
    file given by itself.

  Raises:
    DataError: an input does not exist, two files share a source name, or
      there is no media file at all.
  """
  found: dict[str, pathlib.Path] = {}
  for given in inputs:
    if given.is_dir():
      files = {
        p.relative_to(given).as_posix(): p
        for p in sorted(given.rglob('*'))
        if p.suffix.lower() in containers.EXTENSIONS
        and p.is_file()
        and not p.name.startswith('.')
      }
      if not files:
        raise errors.DataError(
          f'{given} holds no video: looked for '
          f'{" ".join(containers.EXTENSIONS)} in it and its subfolders'
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
  """Yields the consecutive clips of a file; a rest shorter than one is left.

  Raises:
    UnusableFileError: the file is too short, or cannot be decoded.
  """
  sound = sound_lib.read(path, config.sampling_rate)
  pictures = video_lib.frames(
    path, config.frame_rate, config.height, config.width
  )
  for index in itertools.count():
    video = list(itertools.islice(pictures, config.num_frames))
    if len(video) < config.num_frames:
      if index == 0:
        raise containers.UnusableFileError(
          f'{path}: is too short: {len(video) / config.frame_rate:.3f} s, a '
          f'clip needs {config.seconds:g} s ({config.num_frames} frames at '
          f'{config.frame_rate:g} a second)'
        )
      return
    start = index * config.seconds
    yield Clip(
      clip_id=f'{source}#{index:05d}',
      source=source,
      start=start,
      end=start + config.seconds,
      video_THWC=np.stack(video),
      audio_T=sound_lib.clip(
        sound, round(start * config.sampling_rate), config.num_samples
      ),
      has_audio=sound is not None,
    )
