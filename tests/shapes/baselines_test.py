"""What a row of the scoreboard would be without a model."""

import types

import numpy as np
import pytest

from videopoet_jax.shapes import baselines
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges

_CONFIG = shapes_config.ShapesConfig()


@pytest.fixture(name='clips', scope='module')
def _clips():
  return held_out.draw(_CONFIG, 3)


@pytest.mark.parametrize(
  ('task', 'chance'),
  [
    ('image_to_video', 1 / 8),
    ('stylization', 1 / 6),
    ('text_to_video', 0.0),
    ('inpainting', 0.0),
  ],
)
def test_the_rest_is_guessed(task, chance):
  assert baselines.guess_the_rest(task) == pytest.approx(chance)


class _Truth:
  def rotated(self, by):
    return by


class _Clips:
  def __init__(self, count):
    self._count = count

  def __len__(self):
    return self._count


@pytest.mark.parametrize(
  ('count', 'steps'),
  [(2, [1]), (4, [1, 2, 3]), (64, [1, 9, 18, 27, 36, 45, 54, 63])],
)
def test_a_guess_is_the_mean_over_pairings(monkeypatch, count, steps):
  seen = []

  def judge(task, readings, clips):
    seen.append(readings)
    return np.array([True, readings == 1])

  monkeypatch.setattr(judges, 'judge', judge)
  found = baselines.guess('text_to_video', _Truth(), _Clips(count))
  assert seen == steps
  assert found == pytest.approx((len(steps) + 1) / (2 * len(steps)))


def test_a_blind_guesser_has_no_spread():
  assert baselines.guess('unconditional', None, _Clips(9)) == 0.0


@pytest.mark.parametrize(
  ('task', 'shown', 'last'),
  [('image_to_video', 0, 0), ('future_prediction', 9, 8)],
)
def test_the_last_frame_seen_is_held(clips, task, shown, last):
  video = baselines.copy_of_condition(task, clips, shown).video_BTHWC
  assert video.shape == clips.video_BTHWC.shape
  np.testing.assert_array_equal(
    video[:, : last + 1], clips.video_BTHWC[:, : last + 1]
  )
  for frame in range(last, 17):
    np.testing.assert_array_equal(video[:, frame], clips.video_BTHWC[:, last])


def test_the_sound_so_far_is_repeated(clips):
  found = baselines.copy_of_condition('audio_video_continuation', clips, 4)
  samples = _CONFIG.samples
  assert found.audio_BT.shape == (3, samples)
  # 4 frames are half a second.
  np.testing.assert_array_equal(
    found.audio_BT, clips.audio_BT[:, np.arange(samples) % 8000]
  )
  np.testing.assert_array_equal(
    found.video_BTHWC[:, 3:], clips.video_BTHWC[:, [3] * 14]
  )


def test_holes_are_filled_and_structure_is_shown(clips):
  found = baselines.copy_of_condition('inpainting', clips).video_BTHWC
  hole = clips.holes['inpainting']
  same = (found == clips.video_BTHWC) | hole
  assert same.all() and found.dtype == np.uint8
  assert (found != clips.video_BTHWC).any()
  style = baselines.copy_of_condition('stylization', clips).video_BTHWC
  np.testing.assert_array_equal(style, clips.structure_BTHWC)


@pytest.mark.parametrize(
  'task', ['text_to_video', 'unconditional', 'video_to_audio', 'audio_to_video']
)
def test_a_condition_of_another_kind_cannot_be_copied(task):
  nothing = types.SimpleNamespace(video_BTHWC=None, config=_CONFIG)
  assert baselines.copy_of_condition(task, nothing) is None
