"""Every measure passes the truth and fails what only looks like it."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.shapes import agreement
from videopoet_jax.shapes import baselines
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import judges
from videopoet_jax.shapes import scoreboard

_COUNT = 64


@pytest.fixture(scope='module')
def clips():
  return held_out.draw(shapes_config.ShapesConfig(), _COUNT)


@pytest.fixture(scope='module')
def truth(clips):
  # The codec crops to whole latent frames, as here.
  outputs = judges.Outputs(clips.video_BTHWC, clips.audio_BT[:, :33600])
  return judges.read(outputs, clips.config)


@pytest.fixture(scope='module')
def images(clips):
  outputs = judges.Outputs(clips.video_BTHWC[:, :1])
  return judges.read(outputs, clips.config)


@pytest.mark.parametrize('task', judges.TASKS)
def test_truth_passes(task, clips, truth, images):
  readings = images if task == 'text_to_image' else truth
  assert judges.judge(task, readings, clips).mean() >= 0.99


@pytest.mark.parametrize('task', judges.TASKS)
def test_noise_fails(task, clips):
  rng = np.random.default_rng(0)
  video = rng.integers(0, 256, (8, 17, 32, 32, 3), np.uint8)
  sound = rng.integers(-9000, 9000, (8, 33600), np.int16)
  readings = judges.read(judges.Outputs(video, sound), clips.config)
  assert not judges.judge(task, readings, clips.take(np.arange(8))).any()


@pytest.mark.parametrize('task', judges.TASKS)
def test_truth_of_other_clips_is_chance(task, clips, truth, images):
  if task == 'unconditional':
    pytest.skip('nothing is asked of a single sample')
  readings = images if task == 'text_to_image' else truth
  assert baselines.guess(task, readings, clips) < 0.2


# Tasks whose condition is of the kind of their output.
_COPIES = (
  'audio_video_continuation',
  'future_prediction',
  'image_to_video',
  'inpainting',
  'outpainting',
  'stylization',
)


@pytest.mark.parametrize('task', _COPIES)
def test_copy_of_condition_fails(task, clips):
  copied = baselines.copy_of_condition(task, clips, condition_frames=9)
  readings = judges.read(copied, clips.config)
  assert judges.judge(task, readings, clips).mean() < 0.3


def test_one_smeared_frame_fails(clips):
  video = clips.video_BTHWC[:8].astype(np.float32)
  video[:, 8] = (video[:, 5] + video[:, 11]) / 2
  video[:, 8, 10:20] = video[:, 8].mean((1, 2), keepdims=True)
  readings = judges.read(
    judges.Outputs(np.round(video).astype(np.uint8)), clips.config
  )
  passed = judges.judge('text_to_video', readings, clips.take(np.arange(8)))
  assert passed.mean() < 0.5


def test_shuffled_frames_fail(clips):
  order = np.random.default_rng(0).permutation(17)
  readings = judges.read(
    judges.Outputs(clips.video_BTHWC[:8, order]), clips.config
  )
  some = clips.take(np.arange(8))
  for task in ('unconditional', 'text_to_video', 'stylization'):
    assert not judges.judge(task, readings, some).any()


def test_late_click_fails(clips, truth):
  bounced = [i for i in range(_COUNT) if truth.heard[i].clicks][:4]
  some = clips.take(np.array(bounced))

  def passed(shift):
    heard = tuple(
      dataclasses.replace(
        truth.heard[i], clicks=tuple(t + shift for t in truth.heard[i].clicks)
      )
      for i in bounced
    )
    readings = dataclasses.replace(truth, heard=heard)
    return judges.judge('video_to_audio', readings, some)

  assert passed(0.03).all()
  assert not passed(0.08).any()


def test_painting_needs_the_hole_right(clips):
  # Blurred by eight pixels in the hole only: not 8 dB above the mean.
  some = clips.take(np.arange(4))
  hole = clips.holes['outpainting']
  grey = np.where(hole, 128, some.video_BTHWC).astype(np.uint8)
  for video, truth in zip(grey, some.video_BTHWC):
    filled = judges.hole_psnr(judges.mean_fill(truth, hole), truth, hole)
    assert judges.hole_psnr(video, truth, hole) < filled + 8
    assert judges.hole_psnr(truth, truth, hole) > filled + 8


def test_mean_fill_keeps_what_is_seen(clips):
  video, hole = clips.video_BTHWC[0], clips.holes['inpainting']
  filled = judges.mean_fill(video, hole)
  np.testing.assert_array_equal(
    np.where(hole, 0, filled), np.where(hole, 0, video)
  )
  frame = filled[3][hole[3, ..., 0]]
  assert np.ptp(frame, axis=0).max() == 0
  np.testing.assert_allclose(
    frame[0], video[3][~hole[3, ..., 0]].mean(0), rtol=1e-4
  )


def test_path_of_gives_the_true_bounces(clips, truth):
  for shape, seen in zip(clips.shapes, truth.seen):
    legs = shape.legs(clips.config.frames)
    found = agreement.path_of(seen, clips.config).legs(clips.config.frames - 2)
    assert [d for _, d in legs] == [d for _, d in found]
    for (time, _), (other, _) in zip(legs, found):
      assert abs(time - other) < 1.0


def test_every_leg_of_a_continuation_is_heard(clips, truth):
  bouncing = [
    i
    for i, heard in enumerate(truth.heard)
    if len(heard.directions) == 2 and -1 not in heard.directions
  ]
  assert bouncing
  for i in bouncing:
    heard, seen = truth.heard[i], truth.seen[i]
    assert agreement.sound_fits_video(heard, seen, clips.config)
    first, second = heard.directions
    wrong = dataclasses.replace(heard, directions=(first, (second + 3) % 8))
    assert not agreement.sound_fits_video(wrong, seen, clips.config)


def test_sound_of_another_motion_does_not_fit(clips, truth):
  some = range(0, _COUNT, 4)
  fits = [
    agreement.sound_fits_video(
      truth.heard[(i + 1) % _COUNT], truth.seen[i], clips.config
    )
    for i in some
  ]
  assert np.mean(fits) < 0.3


def test_mode_collapse_fails_unconditional(clips):
  video = np.repeat(clips.video_BTHWC[:1], _COUNT, axis=0)
  row, passed = scoreboard.score('unconditional', judges.Outputs(video), clips)
  assert passed.all()
  assert row['value'] == 0 and row['valid_share'] == 1
  assert row['spread']['kind'] > 0.5


def test_even_spread_passes_unconditional():
  config = shapes_config.ShapesConfig()
  clips = held_out.draw(config, 256, split='train')
  row, _ = scoreboard.score(
    'unconditional', judges.Outputs(clips.video_BTHWC), clips
  )
  assert row['value'] == 1
  assert max(row['spread'].values()) < scoreboard.MAX_TOTAL_VARIATION


def test_one_sample_a_condition(clips):
  with pytest.raises(errors.DataError, match='8 samples for 64'):
    scoreboard.score(
      'text_to_video', judges.Outputs(clips.video_BTHWC[:8]), clips
    )
