"""Samples that an evaluation keeps for viewing and rating."""

import pathlib

import numpy as np

from videopoet_jax.core import storage
from videopoet_jax.evaluation import sample_store
from videopoet_jax.media import files as media
from videopoet_jax.shapes import judges

FOLDER = 'samples'


def keep(
  folder: pathlib.Path,
  outputs: judges.Outputs,
  numbers: np.ndarray,
  most: int,
  *,
  frame_rate: float,
  sampling_rate: int,
  videos: bool = False,
) -> None:
  """Writes the samples of a batch that are to be kept, one file each.

  Args:
    folder: folder of the task.
    outputs: samples of the batch.
    numbers: numbers of the samples.
    most: samples with smaller numbers are kept; -1 keeps all.
    frame_rate: frames a second.
    sampling_rate: samples of sound a second.
    videos: whether to write mp4 (or wav) beside the arrays.
  """
  for row, number in enumerate(numbers if len(outputs) else ()):
    if 0 <= most <= number:
      continue
    video = outputs.video_BTHWC
    audio = outputs.audio_BT
    arrays = {}
    if video is not None:
      arrays['video'] = video[row]
    if audio is not None:
      arrays['audio'] = audio[row]
    path = folder / FOLDER / f'{int(number):06d}.npz'
    sample_store.write_arrays(path, arrays)
    if videos and not storage.is_remote(folder):
      _write_file(path, arrays, frame_rate, sampling_rate)


def _write_file(
  path: pathlib.Path,
  arrays: dict[str, np.ndarray],
  frame_rate: float,
  sampling_rate: int,
) -> None:
  """Writes an mp4 or wav file atomically."""
  video, audio = arrays.get('video'), arrays.get('audio')
  suffix = '.wav' if video is None else '.mp4'
  # The encoder derives the format from the suffix.
  partial = path.with_name(f'{path.stem}.partial{suffix}')
  if video is None and audio is not None:
    media.write_wav(partial, audio, sampling_rate)
  elif video is not None:
    media.write_mp4(partial, video, frame_rate, audio, sampling_rate)
  partial.replace(path.with_suffix(suffix))


def read(folder: pathlib.Path, most: int) -> dict[int, judges.Outputs]:
  """Reads the first samples kept of a task by number, a batch of one each."""
  found = {}
  paths = sorted((folder / FOLDER).glob('*.npz'))
  for path in paths[:most]:
    arrays = sample_store.read_arrays(path)
    if arrays is None:
      continue
    video, audio = arrays.get('video'), arrays.get('audio')
    found[int(path.stem)] = judges.Outputs(
      None if video is None else video[None],
      None if audio is None else audio[None],
    )
  return found
