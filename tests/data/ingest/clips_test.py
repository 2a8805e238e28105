"""Tests of finding files and cutting clips."""

import numpy as np
import pytest

from tests.media import media_files
from videopoet_jax.core import errors
from videopoet_jax.data.ingest import clips
from videopoet_jax.media import containers

_SMALL = clips.ClipConfig(num_frames=5, height=16, width=24)


def test_default_clip_is_the_papers():
  config = clips.ClipConfig()
  assert config.seconds == 2.125
  assert config.num_samples == 34_000


@pytest.mark.parametrize('field', ['num_frames', 'frame_rate', 'height'])
def test_impossible_sizes_name_the_flag(field):
  with pytest.raises(errors.ConfigError, match=f'--{field} is 0'):
    clips.ClipConfig(**{field: 0})


def test_clips_follow_each_other_without_gap_or_overlap(tmp_path):
  path = media_files.ramp_file(tmp_path / 'a.mkv', 4.0)
  found = list(clips.cut(path, 'a.mkv', _SMALL))
  # 32 frames hold six clips of five; two frames are left over.
  assert len(found) == 6
  levels = np.concatenate([c.video_THWC.mean((1, 2, 3)) for c in found])
  np.testing.assert_allclose(
    levels, media_files.level(np.arange(30) / 8), atol=3
  )
  for index, clip in enumerate(found):
    assert clip.clip_id == f'a.mkv#{index:05d}'
    assert clip.video_THWC.shape == (5, 16, 24, 3)
    assert clip.video_THWC.dtype == np.uint8
    assert (clip.start, clip.end) == (index * 0.625, (index + 1) * 0.625)
    assert clip.audio_T.shape == (10_000,)
    assert not clip.has_audio
    assert not clip.audio_T.any()


def test_each_clip_has_its_own_sound(tmp_path):
  # One pitch for each clip's time.
  pitches = [300, 600, 900]
  samples = np.concatenate(
    [media_files.tone(0.625, 48_000, hertz) for hertz in pitches]
  )
  path = media_files.ramp_file(
    tmp_path / 'a.mp4', 1.9, samples_CT=samples[None]
  )
  found = list(clips.cut(path, 'a.mp4', _SMALL))
  assert len(found) == 3
  for clip, hertz in zip(found, pitches):
    assert clip.has_audio
    middle = clip.audio_T[1000:9000]
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) * 2 == pytest.approx(hertz, abs=4)


def test_too_short(tmp_path):
  path = media_files.ramp_file(tmp_path / 'a.mp4', 0.5)
  with pytest.raises(containers.UnusableFileError, match='too short: 0.500 s'):
    list(clips.cut(path, 'a.mp4', _SMALL))


def test_finds_files_in_folders_by_suffix(tmp_path):
  for name in ['b.mp4', 'deep/a.WEBM', 'notes.txt', '.hidden.mp4', 'c.avi']:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
  found = clips.find_files([tmp_path])
  assert list(found) == ['b.mp4', 'c.avi', 'deep/a.WEBM']
  # A file given by itself is taken whatever its name.
  assert list(clips.find_files([tmp_path / 'notes.txt'])) == ['notes.txt']


def test_nothing_to_find(tmp_path):
  with pytest.raises(errors.DataError, match='holds no video'):
    clips.find_files([tmp_path])
  with pytest.raises(errors.DataError, match='does not exist'):
    clips.find_files([tmp_path / 'absent'])


def test_same_name_in_two_inputs(tmp_path):
  for name in ['x/a.mp4', 'y/a.mp4']:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
  with pytest.raises(errors.DataError, match='the same name'):
    clips.find_files([tmp_path / 'x', tmp_path / 'y'])


@pytest.mark.parametrize('rate', [8.0, None])
@pytest.mark.parametrize(('kind', 'first'), [('first', 0), ('central', 1)])
def test_one_clip_of_a_video(tmp_path, kind, first, rate):
  # 12 frames a second, so that frame k of 8 a second is frame 1.5 k.
  path = media_files.ramp_file(tmp_path / 'a.mp4', 2.0, 12)
  config = clips.ClipConfig(
    num_frames=5, frame_rate=rate, height=16, width=24, cut=kind
  )
  (clip,) = clips.cut(path, 'a.mp4', config)
  frames = 24 if rate is None else 16
  begin = first * ((frames - 5) // 2)
  times = np.arange(begin, begin + 5) / (rate or 12)
  shown = np.floor(times * 12 + 1e-6) / 12
  np.testing.assert_allclose(
    clip.video_THWC.mean((1, 2, 3)), media_files.level(shown), atol=3
  )
  assert clip.clip_id == 'a.mp4#00000'
  assert clip.start == pytest.approx(times[0], abs=1e-3)
  assert clip.end == pytest.approx(times[-1] + 1 / (rate or 12), abs=1e-3)
  # Clips at the rate of their files differ in length and have no sound.
  assert len(clip.audio_T) == (0 if rate is None else 10_000)


def test_sound_of_a_central_clip_is_that_of_its_time(tmp_path):
  click = np.zeros(3 * 48_000, np.int16)
  click[round(1.5 * 48_000) : round(1.5 * 48_000) + 96] = 20_000
  path = media_files.ramp_file(tmp_path / 'a.mp4', 3.0, samples_CT=click[None])
  config = clips.ClipConfig(num_frames=4, height=16, width=16, cut='central')
  (clip,) = clips.cut(path, 'a.mp4', config)
  assert clip.start == 1.25
  assert np.argmax(np.abs(clip.audio_T)) / 16_000 == pytest.approx(
    0.25, abs=0.01
  )


def test_unknown_cuts_are_refused():
  with pytest.raises(errors.ConfigError, match="--cut is 'centre'"):
    clips.ClipConfig(cut='centre')
