"""Tests of decoding: times, crops, sound, and files that cannot be used."""

import os

import av
import numpy as np
import pytest

from tests.media import media_files
from videopoet_jax.media import containers
from videopoet_jax.media import sound
from videopoet_jax.media import video

# Lossy coding moves a flat grey by a level or two.
_LEVEL_ERROR = 3.0


def _frames(path, rate=8.0, height=16, width=16):
  return np.stack(list(video.frames(path, rate, height, width)))


@pytest.mark.parametrize('rate', [24, 25, 30_000 / 1001, 12.5, 8, 7.3, 3])
def test_frame_k_is_what_is_shown_at_k_over_rate(tmp_path, rate):
  path = media_files.ramp_file(tmp_path / 'a.mp4', 3.0, rate)
  found = _frames(path).mean((1, 2, 3))
  num_source = round(3.0 * rate)
  times = np.arange(len(found)) / 8
  shown = np.floor(times * rate + 1e-6) / rate
  assert len(found) == int(np.ceil(num_source / rate * 8 - 1e-3))
  np.testing.assert_allclose(found, media_files.level(shown), atol=_LEVEL_ERROR)


def test_frames_one_by_one_are_those_read_at_once(tmp_path):
  path = media_files.ramp_file(tmp_path / 'a.mp4', 2.0)
  frames = video.read_frames(path, height=16, width=32)
  found = [next(frames), *frames]
  whole = video.read(os.fspath(path), height=16, width=32)
  assert whole.shape == (16, 16, 32, 3)
  np.testing.assert_array_equal(found, whole)


def test_variable_frame_rate_follows_the_time_stamps(tmp_path):
  times = [0, 0.1, 0.2, 1.0, 1.05, 1.1, 2.0]
  frames = np.stack(
    [np.full((48, 64, 3), media_files.level(t), np.uint8) for t in times]
  )
  path = media_files.write(tmp_path / 'a.mkv', frames, 24, times=times)
  found = _frames(path).mean((1, 2, 3))
  for k in range(17):
    shown = max(t for t in times if t <= k / 8 + 1e-3)
    assert abs(found[k] - media_files.level(shown)) < _LEVEL_ERROR


@pytest.mark.parametrize(
  ('name', 'codec'),
  [
    ('a.mp4', 'h264'),
    ('a.mov', 'mpeg4'),
    ('a.avi', 'mpeg4'),
    ('a.mkv', 'h264'),
    ('a.webm', 'libvpx'),
  ],
)
def test_containers(tmp_path, name, codec):
  if codec not in av.codecs_available:
    codec = {'h264': 'libx264'}.get(codec, codec)
  path = media_files.ramp_file(tmp_path / name, 1.0, codec=codec)
  info = video.probe(path)
  assert (info.height, info.width, info.has_audio) == (48, 64, False)
  assert info.duration == pytest.approx(1.0, abs=0.06)
  assert len(_frames(path)) == 8


def test_centre_is_kept_and_sides_are_cropped(tmp_path):
  # Thirds of a wide picture: red, green, blue. A square shows the green third.
  picture = np.zeros((48, 144, 3), np.uint8)
  for third in range(3):
    picture[:, 48 * third : 48 * (third + 1), third] = 200
  path = media_files.write(tmp_path / 'a.mp4', np.stack([picture] * 8), 8)
  wide = _frames(path, height=24, width=24)[0]
  assert wide[:, 2:-2].mean((0, 1)) == pytest.approx([0, 200, 0], abs=12)
  # The whole picture comes out where the shape is kept.
  whole = _frames(path, height=16, width=48)[0]
  assert whole[:, 4].mean(0) == pytest.approx([200, 0, 0], abs=12)
  assert whole[:, -4].mean(0) == pytest.approx([0, 0, 200], abs=12)


def test_small_pictures_are_free_of_aliasing(tmp_path):
  # Stripes of one pixel vanish into grey rather than turn into wide stripes.
  picture = np.zeros((96, 96, 3), np.uint8)
  picture[:, ::2] = 255
  path = media_files.write(tmp_path / 'a.mp4', np.stack([picture] * 4), 8)
  small = _frames(path, height=12, width=12)[0]
  assert small[2:-2, 2:-2].std() < 12


@pytest.mark.parametrize(('height', 'width'), [(34, 46), (47, 33), (9, 201)])
def test_odd_sizes(tmp_path, height, width):
  frames = media_files.ramp(1.0, 8, height, width)
  # The codec itself takes odd sizes; the colour planes are rounded up.
  path = media_files.write(tmp_path / 'a.mkv', frames, 8)
  found = _frames(path, height=32, width=32)
  assert found.shape == (8, 32, 32, 3)
  expected = media_files.level(np.arange(8) / 8)
  np.testing.assert_allclose(found.mean((1, 2, 3)), expected, atol=5)


def _pitch(samples: np.ndarray, rate: int = 16_000) -> float:
  spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
  return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize('rate', [48_000, 44_100, 8_000])
def test_sound_keeps_its_pitch_and_length(tmp_path, rate):
  path = media_files.ramp_file(
    tmp_path / 'a.mp4',
    2.0,
    samples_CT=media_files.tone(2.0, rate, 440)[None],
    sampling_rate=rate,
  )
  samples = sound.read(path, 16_000)
  assert samples.dtype == np.int16
  assert len(samples) == pytest.approx(32_000, abs=2100)
  assert _pitch(samples[:32_000]) == pytest.approx(440, abs=2)
  assert np.abs(samples[8_000:24_000]).max() == pytest.approx(16_000, rel=0.15)


def test_five_channels_and_a_low_one_become_one(tmp_path):
  rate = 48_000
  silent = np.zeros(2 * rate, np.int16)
  # Left, right, centre, low, side left, side right.
  channels = [
    media_files.tone(2.0, rate, 300),
    silent,
    media_files.tone(2.0, rate, 1000),
    silent,
    silent,
    silent,
  ]
  path = media_files.ramp_file(
    tmp_path / 'a.mp4',
    2.0,
    samples_CT=np.stack(channels),
    audio_layout='5.1',
  )
  samples = sound.read(path, 16_000)[:32_000].astype(np.float64)
  spectrum = np.abs(np.fft.rfft(samples))
  hertz = np.fft.rfftfreq(len(samples), 1 / 16_000)
  both = [spectrum[np.argmin(np.abs(hertz - f))] for f in (300, 1000)]
  other = spectrum[np.abs(hertz - 2000) < 500].max()
  assert min(both) > 20 * other


def test_sound_and_picture_agree_in_time(tmp_path):
  # A click in the middle second.
  rate = 48_000
  samples = np.zeros(3 * rate, np.int16)
  samples[round(1.5 * rate) : round(1.5 * rate) + 96] = 20_000
  path = media_files.ramp_file(
    tmp_path / 'a.mp4', 3.0, samples_CT=samples[None]
  )
  found = sound.read(path, 16_000)
  assert np.argmax(np.abs(found)) / 16_000 == pytest.approx(1.5, abs=0.01)


def test_no_sound_track(tmp_path):
  path = media_files.ramp_file(tmp_path / 'a.mp4', 1.0)
  assert sound.read(path, 16_000) is None


def _unusable(path) -> str:
  with pytest.raises(containers.UnusableFileError) as caught:
    video.probe(path)
    _frames(path)
  assert str(path) in str(caught.value)
  return str(caught.value)


def test_text_is_not_a_video(tmp_path):
  path = tmp_path / 'a.mp4'
  path.write_text('these are words, not pictures\n' * 50)
  assert 'is not a video' in _unusable(path)


def test_empty_file(tmp_path):
  path = tmp_path / 'a.mp4'
  path.touch()
  assert 'is empty' in _unusable(path)


def test_missing_file(tmp_path):
  _unusable(tmp_path / 'a.mp4')


def test_cut_off_before_the_index(tmp_path):
  path = media_files.ramp_file(tmp_path / 'a.mp4', 3.0)
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  assert 'cut off or damaged' in _unusable(path)


def test_cut_off_after_the_index(tmp_path):
  # The index at the front promises more than the file holds.
  noise = np.random.default_rng(0).integers(0, 255, (72, 48, 64, 3), np.uint8)
  path = media_files.write(tmp_path / 'a.mp4', noise, 24, faststart=True)
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  assert 'cut off' in _unusable(path)


def test_sound_alone_is_no_video(tmp_path):
  path = tmp_path / 'a.mp4'
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('aac', rate=48_000, layout='mono')
    samples = media_files.tone(1.0, 48_000, 440)[None, :1024]
    frame = av.AudioFrame.from_ndarray(
      samples.astype(np.float32) / 2**15, format='fltp', layout='mono'
    )
    frame.sample_rate = 48_000
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  assert 'no video track' in _unusable(path)
