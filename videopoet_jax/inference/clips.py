"""Results of generation: clips that can be shown, saved and reused."""

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
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Clip:
  """One sample: a video, a picture or a sound.

  A clip can be used as a condition: `model.generate('image_to_video',
  image=clip)`.

  Attributes:
    video_THWC: uint8 frames, one for a picture; None for a sound. Floats in
      [-1, 1], as tokenizers decode them, become pixels.
    audio_T: int16 samples of its sound, or None.
    frame_rate: frames a second.
    sampling_rate: samples a second.
    text: its prompt, '' for none.
  """

  video_THWC: np.ndarray | None = None
  audio_T: np.ndarray | None = None
  frame_rate: float = 8.0
  sampling_rate: int = 16_000
  text: str = ''

  def __post_init__(self) -> None:
    """Raises DataError where frames or samples are none."""
    video, audio = self.video_THWC, self.audio_T
    if video is not None:
      if np.issubdtype(video.dtype, np.floating):
        # It imports JAX, which whoever has decoded clips has done.
        from videopoet_jax.tokenizers.magvit2 import bundle

        video = bundle.to_pixels(video)
        object.__setattr__(self, 'video_THWC', video)
      if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8:
        raise errors.DataError(
          f'a clip has frames {video.dtype} {video.shape}; expected (T, H, W, '
          '3), uint8 or float in [-1, 1].'
        )
    if audio is not None and (audio.ndim != 1 or audio.dtype != np.int16):
      raise errors.DataError(
        f'a clip has sound {audio.dtype} {audio.shape}; expected int16 '
        '(samples,).'
      )

  def __repr__(self) -> str:
    """In short: what there is, not the pixels."""
    parts = []
    if self.video_THWC is not None:
      frames, height, width, _ = self.video_THWC.shape
      parts.append(f'{frames} x {height} x {width}')
    if self.audio_T is not None:
      parts.append('sound')
    if not self.is_picture and parts:
      parts.append(f'{self.seconds:.1f} s')
    if self.text:
      parts.append(repr(self.text))
    return f'Clip({", ".join(parts)})'

  @property
  def is_picture(self) -> bool:
    return self.video_THWC is not None and len(self.video_THWC) == 1

  @property
  def seconds(self) -> float:
    """Duration in seconds; 0 for a picture."""
    if self.is_picture:
      return 0.0
    if self.video_THWC is not None:
      return len(self.video_THWC) / self.frame_rate
    return len(self._sound()) / self.sampling_rate

  def with_sound(self, sound: 'Clip') -> 'Clip':
    """The same frames, heard with the sound of another clip."""
    return dataclasses.replace(
      self, audio_T=sound._sound(), sampling_rate=sound.sampling_rate
    )

  def save(self, path: Path) -> pathlib.Path:
    """Writes a file in the format of its suffix.

    Args:
      path: path that ends in `.mp4` (with sound), `.gif`, `.png` (the first
        frame) or `.wav`.

    Returns:
      The path.

    Raises:
      DataError: the clip lacks the data for such a file, or it cannot be
        written.
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
    """HTML for a notebook: the clip, playing, with its prompt."""
    parts = []
    if self.video_THWC is not None:
      uri = data_uris.animation(self.video_THWC, self.frame_rate)
      parts.append(f'<img src="{uri}" alt="{html.escape(self.text)}">')
    if self.audio_T is not None:
      uri = data_uris.sound(self.audio_T, self.sampling_rate)
      parts.append(f'<audio controls src="{uri}"></audio>')
    caption = f'<figcaption>{html.escape(self.text)}</figcaption>'
    return f'<figure>{"".join(parts)}{caption if self.text else ""}</figure>'


@dataclasses.dataclass(frozen=True, repr=False)
class Clips(Sequence[Clip]):
  """The samples of one call, or any clips: a notebook shows them side by side.

  Attributes:
    samples: clip of each sample.
    layout: name of the layout.
    record: JSON values: the request and the settings of sampling.
    upscaled_BTHWC: uint8, the upscaled frames of all samples, or None.
    has_own_sound: whether the sound was generated rather than given.
  """

  samples: tuple[Clip, ...]
  layout: str = ''
  record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  upscaled_BTHWC: np.ndarray | None = None
  has_own_sound: bool = False

  def __post_init__(self) -> None:
    object.__setattr__(self, 'samples', tuple(self.samples))

  def __repr__(self) -> str:
    return f'Clips({list(self.samples)})'

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

  @property
  def upscaled(self) -> 'Clips':
    """The larger clips; DataError where nothing was upscaled."""
    if self.upscaled_BTHWC is None:
      raise errors.DataError(
        'the clips were not upscaled; give generate an upscaling.'
      )
    larger = [
      dataclasses.replace(clip, video_THWC=video_THWC)
      for clip, video_THWC in zip(
        self.samples, self.upscaled_BTHWC, strict=True
      )
    ]
    return Clips(tuple(larger), self.layout, self.record)

  def save(self, folder: Path) -> list[str]:
    """Writes every sample, a contact sheet and `generation.json`.

    Args:
      folder: output folder; made if need be.

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
      names = _write(out / UPSCALED_FOLDER, self.upscaled)
      written += [f'{UPSCALED_FOLDER}/{name}' for name in names]
    record = {**self.record, 'layout': self.layout, 'files': written}
    with files.writing(out / 'generation.json') as path:
      path.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
    return written

  def _repr_html_(self) -> str:
    """HTML for a notebook: all samples, side by side."""
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
