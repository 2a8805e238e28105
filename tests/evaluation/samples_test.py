"""Samples that are kept come back, by number."""

import numpy as np

from videopoet_jax.evaluation import samples
from videopoet_jax.media import sound
from videopoet_jax.media import video as video_lib
from videopoet_jax.shapes import judges

_RATES = {'frame_rate': 8.0, 'sampling_rate': 16_000}


def _outputs(count=3):
  draw = np.random.default_rng(0)
  return judges.Outputs(
    draw.integers(0, 256, (count, 2, 16, 16, 3), np.uint8),
    draw.integers(-999, 999, (count, 4000), np.int16),
  )


def _names(folder):
  return sorted(p.name for p in (folder / samples.FOLDER).glob('*'))


def test_the_first_ones_are_kept_by_number(tmp_path):
  outputs = _outputs()
  samples.keep(tmp_path, outputs, np.array([3, 4, 2]), 4, **_RATES)
  assert _names(tmp_path) == ['000002.npz', '000003.npz']
  found = samples.read(tmp_path, 10)
  assert list(found) == [2, 3]
  np.testing.assert_array_equal(found[2].video_BTHWC, outputs.video_BTHWC[2:])
  np.testing.assert_array_equal(found[3].audio_BT, outputs.audio_BT[:1])
  assert list(samples.read(tmp_path, 1)) == [2]


def test_all_or_none_are_kept(tmp_path):
  samples.keep(tmp_path, _outputs(), np.arange(3), -1, **_RATES)
  assert len(_names(tmp_path)) == 3
  samples.keep(tmp_path / 'b', _outputs(), np.arange(3), 0, **_RATES)
  assert not _names(tmp_path / 'b')


def test_nothing_generated_is_nothing_kept(tmp_path):
  samples.keep(tmp_path, judges.Outputs(), np.arange(3), -1, **_RATES)
  assert not _names(tmp_path) and not samples.read(tmp_path, 3)


def test_a_video_alone_or_a_sound_alone(tmp_path):
  both = _outputs(1)
  only = judges.Outputs(None, both.audio_BT)
  samples.keep(tmp_path, only, np.array([0]), 1, **_RATES, videos=True)
  assert _names(tmp_path) == ['000000.npz', '000000.wav']
  found = samples.read(tmp_path, 1)[0]
  assert found.video_BTHWC is None
  np.testing.assert_array_equal(
    sound.read(tmp_path / 'samples/000000.wav', 16_000), both.audio_BT[0]
  )
  only = judges.Outputs(both.video_BTHWC)
  samples.keep(tmp_path, only, np.array([1]), 2, **_RATES)
  assert samples.read(tmp_path, 2)[1].audio_BT is None


def test_a_file_to_look_at_holds_every_frame(tmp_path):
  video = np.repeat(
    np.array([40, 200], np.uint8)[None, :, None, None, None], 32, axis=2
  )
  video = np.broadcast_to(video, (1, 2, 32, 32, 3)).copy()
  video = np.ascontiguousarray(video)
  samples.keep(
    tmp_path, judges.Outputs(video), np.array([0]), 1, **_RATES, videos=True
  )
  assert _names(tmp_path) == ['000000.mp4', '000000.npz']
  found = video_lib.first_frames(
    tmp_path / 'samples/000000.mp4', 2, 8.0, 32, 32
  )
  np.testing.assert_allclose(found.mean((1, 2, 3)), [40, 200], atol=4)


def test_a_damaged_file_is_left_out(tmp_path):
  samples.keep(tmp_path, _outputs(), np.arange(3), -1, **_RATES)
  (tmp_path / 'samples/000001.npz').write_bytes(b'cut off')
  assert list(samples.read(tmp_path, 3)) == [0, 2]
