"""What generation gives: clips that can be looked at, saved and passed on."""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
import html
import json
import os
import pathlib
from typing import Any, overload

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.media import data_uris
from videopoet_jax.media import files

Path = str | os.PathLike[str]

UPSCALED_FOLDER = 'upscaled'
_PICTURES = ('.png',)
_SOUNDS = ('.wav',)
_VIDEOS = ('.mp4', '.gif')


# Arrays have no equality of one truth value, so a clip equals itself alone.
@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
  """One sample: a video, a picture or a sound.

  A clip stands for itself as a condition: `model.generate('image_to_video',
  image=clip)`.

  Attributes:
    video_THWC: uint8 frames, one for a picture; None for a sound.
    audio_T: int16 samples to be heard with it, or None.
    frame_rate: frames a second.
    sampling_rate: samples a second.
    text: its prompt, '' for none.
  """

  video_THWC: np.ndarray | None
  audio_T: np.ndarray | None
  frame_rate: float
  sampling_rate: int
  text: str = ''

  @property
  def is_picture(self) -> bool:
    return self.video_THWC is not None and len(self.video_THWC) == 1

  @property
  def seconds(self) -> float:
    """How long it is; 0 for a picture."""
    if self.is_picture:
      return 0.0
    if self.video_THWC is not None:
      return len(self.video_THWC) / self.frame_rate
    return len(self._sound()) / self.sampling_rate

  def save(self, path: Path) -> pathlib.Path:
    """Writes a file.

    Args:
      path: ends in `.mp4` (with its sound), `.gif`, `.png` (the first frame) or
        `.wav`.

    Returns:
      The path.

    Raises:
      DataError: the clip has nothing for such a file, or it cannot be written.
    """
    suffix = pathlib.PurePath(path).suffix.lower()
    if suffix in _SOUNDS:
      files.write_wav(path, self._sound(), self.sampling_rate)
    elif suffix in _PICTURES:
      files.write_picture(path, self._frames()[0])
    elif suffix == '.mp4':
      files.write_mp4(
        path,
        self._frames(),
        self.frame_rate,
        self.audio_T,
        self.sampling_rate,
      )
    elif suffix == '.gif':
      files.write_gif(path, self._frames(), self.frame_rate)
    else:
      known = ', '.join((*_VIDEOS, *_PICTURES, *_SOUNDS))
      raise errors.DataError(
        f'{path}: a clip is saved as one of {known}; change the suffix.'
      )
    return storage.path(path)

  def _frames(self) -> np.ndarray:
    if self.video_THWC is None:
      raise errors.DataError('the clip has no frames; save it as .wav.')
    return self.video_THWC

  def _sound(self) -> np.ndarray:
    if self.audio_T is None:
      raise errors.DataError('the clip has no sound; save it as .mp4 or .gif.')
    return self.audio_T

  def _repr_html_(self) -> str:
    """How a notebook shows it: playing, with its prompt."""
    parts = []
    if self.video_THWC is not None:
      uri = data_uris.animation(self.video_THWC, self.frame_rate)
      parts.append(f'<img src="{uri}" alt="{html.escape(self.text)}">')
    if self.audio_T is not None:
      uri = data_uris.sound(self.audio_T, self.sampling_rate)
      parts.append(f'<audio controls src="{uri}"></audio>')
    caption = f'<figcaption>{html.escape(self.text)}</figcaption>'
    return f'<figure>{"".join(parts)}{caption if self.text else ""}</figure>'


@dataclasses.dataclass(frozen=True)
class Clips(Sequence[Clip]):
  """The samples of one call.

  Attributes:
    samples: each sample.
    layout: name of the layout.
    record: JSON values: what was asked for and how ids were drawn.
    upscaled_BTHWC: uint8, the larger frames of all samples, or None.
    has_own_sound: whether the sound was generated, and not given.
  """

  samples: tuple[Clip, ...]
  layout: str
  record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  upscaled_BTHWC: np.ndarray | None = None
  has_own_sound: bool = False

  def __len__(self) -> int:
    return len(self.samples)

  @overload
  def __getitem__(self, index: int) -> Clip: ...
  @overload
  def __getitem__(self, index: slice) -> tuple[Clip, ...]: ...
  def __getitem__(self, index: int | slice) -> Clip | tuple[Clip, ...]:
    return self.samples[index]

  def __iter__(self) -> Iterator[Clip]:
    return iter(self.samples)

  def save(self, folder: Path) -> list[str]:
    """Writes every sample, a contact sheet and `generation.json`.

    Args:
      folder: made if need be.

    Returns:
      Names of the files.

    Raises:
      DataError: it cannot be written.
    """
    out = storage.path(folder)
    written = []
    if self.has_own_sound:
      for index, clip in enumerate(self.samples):
        written.append(f'sample_{index:03d}.wav')
        clip.save(out / written[-1])
    if self.samples[0].video_THWC is not None:
      written += _write(out, self.samples)
    if self.upscaled_BTHWC is not None:
      larger = [
        dataclasses.replace(clip, video_THWC=video_THWC)
        for clip, video_THWC in zip(
          self.samples, self.upscaled_BTHWC, strict=True
        )
      ]
      names = _write(out / UPSCALED_FOLDER, larger)
      written += [f'{UPSCALED_FOLDER}/{name}' for name in names]
    record = {**self.record, 'layout': self.layout, 'files': written}
    with files.writing(out / 'generation.json') as path:
      path.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
    return written

  def _repr_html_(self) -> str:
    """All samples, side by side."""
    shown = ''.join(clip._repr_html_() for clip in self.samples)
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{shown}</div>'


def _write(folder: Any, clips: Sequence[Clip]) -> list[str]:
  """Writes clips or pictures and a contact sheet; returns their names."""
  written = []
  for index, clip in enumerate(clips):
    for suffix in ('.png',) if clip.is_picture else ('.mp4', '.gif'):
      written.append(f'sample_{index:03d}{suffix}')
      clip.save(folder / written[-1])
  written.append('contact_sheet.png')
  videos = [clip.video_THWC for clip in clips if clip.video_THWC is not None]
  files.write_contact_sheet(folder / written[-1], np.stack(videos))
  return written
