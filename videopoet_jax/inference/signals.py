"""Reads conditions from files, arrays or clips, in the same way as training."""

from collections.abc import Sequence
import os
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import storage
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.inference import clips
from videopoet_jax.inference import conditions
from videopoet_jax.media import fitting
from videopoet_jax.media import masking
from videopoet_jax.media import pictures
from videopoet_jax.media import sound
from videopoet_jax.media import video as video_lib

_ARRAY = pathlib.Path('the array')
_SILENT = 'the clip has no sound; give one that has, or a sound file.'


def read(
  layout: layout_lib.SequenceLayout,
  space: tasks_lib.LayoutSpace,
  *,
  text: str | Sequence[str] | None = None,
  image: Any = None,
  video: Any = None,
  audio: Any = None,
  structure: Any = None,
) -> dict[str, Any]:
  """Reads signals, each as long as the layout takes, one row a text.

  Args:
    layout: layout of the result.
    space: grids of the tokenizers.
    text: a prompt or several, one a row.
    image: the first frame, for all rows: the path of a local file, an array
      uint8 (H, W, 3), or a `clips.Clip`.
    video: frames for all rows: the path of a local file, an array uint8 (T, H,
      W, 3) at the model's frame rate, or a `clips.Clip`.
    audio: sound for all rows: the path of a local file, an array int16 (T,) at
      the model's sampling rate, or a `clips.Clip`.
    structure: flow and depth for all rows: the path of a `.npz`, or anything
      that `video` may be.

  Returns:
    The signals for `Generator.generate`, each with a leading axis of rows.

  Raises:
    DataError: a signal cannot be used, or a condition is missing.
  """
  frames, *size = tasks_lib.clip_of(layout.name)
  rate = space.visual.frame_rate
  found: dict[str, Any] = {}
  names = conditions.prefix_features(layout)
  given = {
    'text': text is not None,
    'image': image is not None,
    'video': video is not None,
    'audio': audio is not None,
    'structure': structure is not None,
  }
  conditions.check_given(layout, [name for name in given if given[name]])
  if text is not None and 'text' in names:
    found['text'] = texts(text)
  visual = [n for n in names if n not in ('text', 'audio_tokens')]
  video_features = [n for n in visual if n != 'structure_tokens']
  if video_features and video is not None:
    latents = max(
      conditions.needed_frames(layout, n) or 0 for n in video_features
    )
    count = space.visual.frames(latents)
    found['video'] = _video(video, count, rate, *size)[None]
  elif video_features and image is not None:
    found['image'] = _image(image, *size)[None]
  if 'structure_tokens' in names:
    found['structure'] = _structure(
      structure, frames, (size[0], size[1]), rate
    )[None]
  if 'audio_tokens' in names:
    spec = space.audio
    latents = conditions.needed_frames(layout, 'audio_tokens') or 0
    found['audio'] = _audio(
      audio, spec.sampling_rate, latents * spec.hop, rate
    )[None]
  rows = len(found.get('text', ('',)))
  return {
    name: signal if name == 'text' else np.repeat(signal, rows, axis=0)
    for name, signal in found.items()
  }


def texts(text: str | Sequence[str] | None) -> list[str]:
  """Returns the prompts, which may be none."""
  return [text] if isinstance(text, str) else list(text or ())


def _is_path(signal: Any) -> bool:
  return isinstance(signal, (str, os.PathLike))


def _file(name: str | os.PathLike[str]) -> pathlib.Path:
  """The path of a local file; DataError for one in a bucket."""
  if storage.is_remote(name):
    raise errors.DataError(
      f'{name}: a condition is read from a local file; copy it here first.'
    )
  return storage.path(name)


def _pixels(array: Any, rank: int, what: str) -> np.ndarray:
  """An array of RGB frames; raises DataError for anything else."""
  array = np.asarray(array)
  if array.ndim != rank or array.shape[-1] != 3 or array.dtype != np.uint8:
    shape = '(H, W, 3)' if rank == 3 else '(T, H, W, 3)'
    raise errors.DataError(
      f'{what} is {array.dtype} {array.shape}; expected the path of a file, a '
      f'clip, or an array uint8 {shape}.'
    )
  return array


def _fitted(frames_THWC: np.ndarray, height: int, width: int) -> np.ndarray:
  return np.stack(
    [
      fitting.fit(fitting.of_pixels(frame), height, width, _ARRAY)
      for frame in frames_THWC
    ]
  )


def _image(signal: Any, height: int, width: int) -> np.ndarray:
  if _is_path(signal):
    return pictures.read(_file(signal), height, width)
  if isinstance(signal, clips.Clip) and signal.video_THWC is not None:
    signal = signal.video_THWC[0]
  return _fitted(_pixels(signal, 3, 'image')[None], height, width)[0]


def _video(
  signal: Any, count: int, rate: float, height: int, width: int
) -> np.ndarray:
  if _is_path(signal):
    return video_lib.first_frames(_file(signal), count, rate, height, width)
  own_rate = rate
  if isinstance(signal, clips.Clip):
    own_rate, signal = signal.frame_rate, signal.video_THWC
  frames = _pixels(signal, 4, 'video')
  # The frame on the screen when the model's frame begins.
  shown = (np.arange(count) * own_rate / rate).astype(np.int64)
  if shown[-1] >= len(frames):
    raise errors.DataError(
      f'video has {len(frames)} frames at {own_rate:g} frames a second; '
      f'{count} at {rate:g} are needed.'
    )
  return _fitted(frames[shown], height, width)


def _audio(
  signal: Any, sampling_rate: int, samples: int, frame_rate: float
) -> np.ndarray:
  if _is_path(signal):
    return sound.read_start(_file(signal), sampling_rate, samples, frame_rate)
  own_rate = sampling_rate
  if isinstance(signal, clips.Clip):
    own_rate, signal = signal.sampling_rate, signal.audio_T
    if signal is None:
      raise errors.DataError(f'audio: {_SILENT}')
  signal = np.asarray(signal)
  if signal.ndim != 1 or signal.dtype != np.int16 or own_rate != sampling_rate:
    raise errors.DataError(
      f'audio is {signal.dtype} {signal.shape} at {own_rate} samples a second; '
      'expected the path of a file, or int16 (samples,) at '
      f'{sampling_rate} samples a second.'
    )
  if len(signal) < samples:
    raise errors.DataError(
      f'audio holds {len(signal)} samples; {samples} are needed.'
    )
  return signal[:samples]


def _structure(
  signal: Any, count: int, size: tuple[int, int], frame_rate: float
) -> np.ndarray:
  """Reads flow and depth from an `.npz`, or a video of three channels."""
  if not _is_path(signal) or pathlib.PurePath(signal).suffix != '.npz':
    return _video(signal, count, frame_rate, *size)
  try:
    with np.load(_file(signal)) as arrays:
      flow, depth = arrays['flow'], arrays['depth']
  except (OSError, ValueError, KeyError) as error:
    raise errors.DataError(
      f'{signal} does not hold the arrays flow and depth ({error}).'
    ) from error
  wanted = (count, *size)
  if flow.shape[:3] != wanted:
    raise errors.DataError(
      f'{signal}: flow has shape {flow.shape}; {wanted} + (2,) is needed.'
    )
  return masking.structure_from(flow, depth)
