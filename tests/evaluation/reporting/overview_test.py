"""Tests of the moving picture of every task."""

import pathlib

import numpy as np
from PIL import Image

from videopoet_jax.evaluation.reporting import overview
from videopoet_jax.evaluation.reporting import report


def _clip(frames: int, level: int) -> np.ndarray:
  return np.full((frames, 32, 32, 3), level, np.uint8)


def _grey_at(picture: Image.Image, frame: int, x: int, y: int) -> int:
  picture.seek(frame)
  return picture.convert('RGB').getpixel((x, y))[0]


def test_frames_play_and_shorter_clips_hold_their_last(
  tmp_path: pathlib.Path,
) -> None:
  levels = np.arange(40, 240, 40, dtype=np.uint8)
  moving = levels[:, None, None, None] + np.zeros((5, 32, 32, 3), np.uint8)
  example = report.Example(
    (report.Signal('condition', moving[:2]), report.Signal('generated', moving))
  )
  path = tmp_path / 'samples.gif'
  overview.write(path, {'text_to_video': [example]}, frame_rate=8.0, columns=1)
  with Image.open(path) as picture:
    assert picture.n_frames == 5
    # The middle of the condition, and of what was generated beside it.
    shown = [
      [_grey_at(picture, frame, x, 54) for frame in range(5)]
      for x in (198, 300)
    ]
    assert picture.info['duration'] == 120  # In hundredths: 125 is cut.
    assert picture.info['loop'] == 0
  np.testing.assert_allclose(shown[0], [40, 80, 80, 80, 80], atol=2)
  np.testing.assert_allclose(shown[1], levels, atol=2)


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
    assert picture.n_frames == 1  # Nothing moves.
    pixels = np.asarray(picture.convert('RGB'))
  # One row, and it shows the condition and the sample but not the truth.
  assert pixels.shape[0] < 160
  shown = [np.all(pixels == level, axis=-1).sum() for level in (30, 200, 90)]
  assert shown[0] > 5000 and shown[1] > 5000 and shown[2] == 0
