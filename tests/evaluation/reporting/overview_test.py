"""Tests of the moving picture of every task."""

import pathlib

import numpy as np
from PIL import Image

from videopoet_jax.evaluation.reporting import overview
from videopoet_jax.evaluation.reporting import report


def _clip(frames: int, level: int) -> np.ndarray:
  return np.full((frames, 32, 32, 3), level, np.uint8)


def test_shows_condition_and_sample_of_tasks_with_pictures(
  tmp_path: pathlib.Path,
) -> None:
  made = report.Signal('generated', _clip(17, 200))
  sound = report.Signal('generated', None, np.zeros(100, np.int16))
  given, truth = (
    report.Signal('condition', _clip(1, 30)),
    report.Signal('truth', _clip(17, 90)),
  )
  examples = {
    'image_to_video': [report.Example((given, made, truth), 'a caption')],
    'video_to_audio': [report.Example((given, sound))],
  }
  path = tmp_path / 'samples.gif'
  overview.write(path, examples, frame_rate=8.0, columns=1)
  with Image.open(path) as picture:
    assert picture.n_frames >= 1
    pixels = np.asarray(picture.convert('RGB'))
  # One row, and it shows the condition and the sample but not the truth.
  assert pixels.shape[0] < 160
  shown = [np.all(pixels == level, axis=-1).sum() for level in (30, 200, 90)]
  assert shown[0] > 5000 and shown[1] > 5000 and shown[2] == 0
