"""Data URIs hold the clip and the sound that a page shows."""

import base64
import io
import wave

import numpy as np
from PIL import Image
import pytest

from videopoet_jax.media import data_uris


def _content(uri, kind):
  head, data = uri.split(',', 1)
  assert head == f'data:{kind};base64'
  return io.BytesIO(base64.b64decode(data))


def _clip(frames=3, height=16, width=24):
  draw = np.random.default_rng(0)
  return draw.integers(0, 256, (frames, height, width, 3), np.uint8)


def test_small_clips_are_kept_to_the_bit():
  clip = _clip()
  with Image.open(_content(data_uris.animation(clip, 8.0), 'image/webp')) as on:
    assert on.n_frames == 3
    # 96 pixels a side at least: 16 rows, six times.
    assert on.size == (144, 96)
    for number in range(3):
      on.seek(number)
      pixels = np.asarray(on.convert('RGB'))
      np.testing.assert_array_equal(pixels[::6, ::6], clip[number])


@pytest.mark.parametrize(
  ('height', 'scale', 'factor'),
  [(16, 2, 2), (16, 0, 6), (96, 0, 4), (50, 0, 4), (96, 1, 1)],
)
def test_scales(height, scale, factor):
  # The shorter side is 24 pixels wide, or 16 high.
  uri = data_uris.animation(_clip(1, height), 8.0, scale)
  with Image.open(_content(uri, 'image/webp')) as picture:
    assert picture.n_frames == 1
    assert picture.size == (24 * factor, height * factor)


def test_a_frame_is_shown_for_its_time():
  with Image.open(
    _content(data_uris.animation(_clip(), 4.0), 'image/webp')
  ) as picture:
    picture.seek(1)
    picture.load()
    assert picture.info['duration'] == 250 and picture.info['loop'] == 0


def test_sound_keeps_every_sample():
  samples = np.array([0, 5, -32768, 32767], np.int16)
  with wave.open(_content(data_uris.sound(samples, 8000), 'audio/wav')) as file:
    assert (file.getframerate(), file.getnchannels()) == (8000, 1)
    found = np.frombuffer(file.readframes(9), '<i2')
  np.testing.assert_array_equal(found, samples)


def _spectrogram(audio, **options):
  uri = data_uris.spectrogram(audio, 16_000, **options)
  with Image.open(_content(uri, 'image/png')) as picture:
    return np.asarray(picture.convert('RGB')).astype(int)


def test_a_tone_is_a_line_at_its_frequency():
  time = np.arange(4096) / 16_000
  tone = (16_000 * np.sin(2 * np.pi * 1000 * time)).astype(np.int16)
  pixels = _spectrogram(tone)
  # 31.25 Hz a row up to 3,200 Hz, a column every 128 samples.
  assert pixels.shape[:2] == (102, 29)
  row = pixels.sum(axis=(1, 2)).argmax()
  assert 101 - row == pytest.approx(1000 / 31.25, abs=1)
  assert _spectrogram(tone, highest=1600.0).shape[0] == 51


def test_silence_is_dark_and_short_sounds_are_filled_up():
  quiet = _spectrogram(np.zeros(100, np.int16))
  assert quiet.shape[1] == 1 and quiet.sum(axis=-1).max() < 30


def test_a_plot_is_an_svg():
  from matplotlib import figure

  plot = figure.Figure()
  plot.subplots().plot([0, 1], [0, 1])
  content = _content(data_uris.figure(plot), 'image/svg+xml').read()
  assert b'<svg' in content
