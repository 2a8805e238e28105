"""Tests of sound: a beginning is that of the whole, and what is too short."""

import numpy as np
import pytest

from tests.media import media_files
from videopoet_jax.core import errors
from videopoet_jax.media import files
from videopoet_jax.media import sound


@pytest.mark.parametrize('start', [0.0, 0.7])
@pytest.mark.parametrize('rate', [44_100, 48_000])
def test_a_beginning_is_that_of_the_whole(tmp_path, start, rate):
  samples = np.random.default_rng(0).integers(-9000, 9000, (1, 2 * rate))
  path = media_files.ramp_file(
    tmp_path / 'a.mp4',
    3.0,
    samples_CT=samples.astype(np.int16),
    sampling_rate=rate,
    sound_start=start,
  )
  whole = sound.read(path, 16_000)
  assert len(whole) > 30_000
  for count in (1, 1000, 11_200, 11_201, 25_000, len(whole)):
    np.testing.assert_array_equal(
      sound.read(path, 16_000, count), whole[:count]
    )


def test_silence_follows_as_long_as_the_picture(tmp_path):
  tone = media_files.tone(1.0, 16_000, 440)
  path = media_files.ramp_file(
    tmp_path / 'a.mkv',
    2.0,
    samples_CT=tone[None],
    sampling_rate=16_000,
    audio_codec='pcm_s16le',
  )
  found = sound.read_start(path, 16_000, 32_000)
  np.testing.assert_array_equal(found[:16_000], tone)
  assert not found[16_000:].any()
  with pytest.raises(errors.DataError, match='1.00 s of sound; 4.00 s'):
    sound.read_start(path, 16_000, 64_000)


def test_sound_alone_is_as_long_as_it_is(tmp_path):
  tone = media_files.tone(1.0, 16_000, 440)
  files.write_wav(tmp_path / 'a.wav', tone, 16_000)
  np.testing.assert_array_equal(
    sound.read_start(tmp_path / 'a.wav', 16_000, 16_000), tone
  )
  with pytest.raises(errors.DataError, match='1.00 s of sound; 1.50 s'):
    sound.read_start(tmp_path / 'a.wav', 16_000, 24_000)
