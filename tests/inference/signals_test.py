"""Conditions from arrays and clips: how much is taken, and what is refused.

That files are read as training reads them is tested by
`integration/conditions_test.py`.
"""

import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.inference import clips
from videopoet_jax.inference import signals

# 9 frames of 16 x 8 at 8 frames a second; 2 latent frames of sound a second.
_SPACE = small.SPACE


def _read(task, **given):
  layout = _SPACE.layout(f'{task}/{small.SIZE}')
  return signals.read(layout, _SPACE, **given)


def _video(frames=12, height=16, width=8):
  """Frames whose level is ten times their number."""
  levels = 10 * np.arange(frames, dtype=np.uint8)
  shape = (frames, height, width, 3)
  return np.broadcast_to(levels[:, None, None, None], shape).copy()


def _levels(video_BTHWC):
  return (video_BTHWC[0, :, 0, 0, 0] // 10).tolist()


def test_as_many_frames_are_taken_as_the_layout_needs():
  assert _levels(_read('inpainting', video=_video())['video']) == list(range(9))


def test_a_short_condition_takes_fewer():
  layout = _SPACE.layout('future_prediction/9x16x8/condition=2')
  found = signals.read(layout, _SPACE, video=_video(5))
  assert _levels(found['video']) == list(range(5))
  with pytest.raises(errors.DataError, match='4 frames .* 5 at 8 are needed'):
    signals.read(layout, _SPACE, video=_video(4))


@pytest.mark.parametrize(
  ('rate', 'frames'),
  [
    (8, list(range(9))),
    (16, list(range(0, 18, 2))),
    (4, [0, 0, 1, 1, 2, 2, 3, 3, 4]),
    (12, [0, 1, 3, 4, 6, 7, 9, 10, 12]),
  ],
)
def test_a_clip_of_another_rate_is_read_at_the_models(rate, frames):
  clip = clips.Clip(_video(18), None, float(rate), 16_000)
  assert _levels(_read('inpainting', video=clip)['video']) == frames


def test_every_row_of_text_gets_the_same_signals():
  found = _read(
    'image_to_video', text=['a', 'b', 'c'], image=_video(1)[0] + np.uint8(70)
  )
  assert found['text'] == ['a', 'b', 'c']
  assert found['image'].shape == (3, 16, 8, 3)
  assert (found['image'] == 70).all()
  single = _read('text_to_video', text='a')
  assert single == {'text': ['a']}


def test_pictures_are_scaled_to_cover_and_cut():
  wide = np.zeros((16, 16, 3), np.uint8)
  wide[:, 4:12] = 200  # The central half is kept.
  found = _read('image_to_video', text='a', image=wide)['image']
  assert found.shape == (1, 16, 8, 3) and (found == 200).all()


def test_the_first_frame_of_a_clip_is_a_picture():
  clip = clips.Clip(_video(3) + np.uint8(50), None, 8.0, 16_000)
  found = _read('image_to_video', text='a', image=clip)['image']
  assert (found == 50).all()


def test_as_much_sound_is_taken_as_the_layout_needs():
  # 9 frames are 1.125 s: 2 latent frames of 400 samples.
  samples = np.arange(1000, dtype=np.int16)
  found = _read('audio_to_video', audio=samples)['audio']
  np.testing.assert_array_equal(found, samples[None, :800])
  clip = clips.Clip(None, samples, 8.0, 800)
  np.testing.assert_array_equal(
    _read('audio_to_video', audio=clip)['audio'], found
  )


@pytest.mark.parametrize(
  ('audio', 'message'),
  [
    (np.zeros(799, np.int16), '799 samples; 800 are needed'),
    (np.zeros(900, np.float32), 'audio is float32'),
    (np.zeros((1, 900), np.int16), r'audio is int16 \(1, 900\)'),
    (clips.Clip(None, np.zeros(900, np.int16), 8.0, 16_000), 'at 16000 sam'),
    (clips.Clip(_video(9), None, 8.0, 800), 'the clip has no sound'),
  ],
)
def test_other_sounds_are_refused(audio, message):
  with pytest.raises(errors.DataError, match=message):
    _read('audio_to_video', audio=audio)


@pytest.mark.parametrize(
  ('signal', 'message'),
  [
    ({'video': _video().astype(np.float32)}, 'video is float32'),
    ({'video': _video()[0]}, r'array uint8 \(T, H, W, 3\)'),
    ({'video': _video()[..., :1]}, 'video is uint8'),
    ({}, 'needs --video'),
  ],
)
def test_other_videos_are_refused(signal, message):
  with pytest.raises(errors.DataError, match=message):
    _read('inpainting', **signal)


def test_a_file_in_a_bucket_is_refused():
  with pytest.raises(errors.DataError, match='copy it here first'):
    _read('inpainting', video='gs://bucket/a.mp4')


def test_a_picture_has_three_axes():
  with pytest.raises(errors.DataError, match=r'array uint8 \(H, W, 3\)'):
    _read('image_to_video', text='a', image=_video())


def test_structure_of_arrays_in_a_file(tmp_path):
  path = tmp_path / 'a.npz'
  draw = np.random.default_rng(0)
  flow = draw.normal(size=(9, 16, 8, 2)).astype(np.float32)
  depth = draw.uniform(size=(9, 16, 8, 1)).astype(np.float32)
  np.savez(path, flow=flow, depth=depth)
  found = _read('stylization', text='a', structure=path)['structure']
  assert found.shape == (1, 9, 16, 8, 3) and found.dtype == np.uint8
  assert found.std() > 1
  np.savez(path, flow=flow[:8], depth=depth[:8])
  with pytest.raises(errors.DataError, match=r'flow has shape \(8, 16, 8, 2\)'):
    _read('stylization', text='a', structure=path)
  np.savez(path, flow=flow)
  with pytest.raises(errors.DataError, match='arrays flow and depth'):
    _read('stylization', text='a', structure=path)


def test_prompts():
  assert signals.texts(None) == []
  assert signals.texts('abc') == ['abc']
  assert signals.texts(('a', 'b')) == ['a', 'b']
