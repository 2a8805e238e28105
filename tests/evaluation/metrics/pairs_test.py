"""Metrics of single samples: PSNR, SSIM, SI-SDR, mel distance, perplexity."""

import math

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import perceptual
from videopoet_jax.evaluation.metrics import pixels
from videopoet_jax.evaluation.metrics import sound
from videopoet_jax.evaluation.metrics import sums
from videopoet_jax.evaluation.metrics import tokens


def _videos(seed=0, size=16):
  rng = np.random.default_rng(seed)
  real = rng.integers(0, 256, (3, 4, size, size, 3), np.uint8)
  noise = rng.integers(-20, 21, real.shape)
  generated = np.clip(real + noise, 0, 255).astype(np.uint8)
  return {'generated': generated, 'real': real}


def _value(metric, batch):
  return metric.compute(metric.add(metric.empty(), metric.measure(batch)))


def test_psnr():
  real = np.zeros((1, 2, 4, 4, 3), np.uint8)
  generated = real.copy()
  generated[:, 1] = 255
  batch = {'generated': generated, 'real': real}
  # One frame perfect (68.13 dB at most), one as wrong as can be.
  best = 20 * math.log10(255 / 0.1)
  assert _value(pixels.PSNR(), batch) == pytest.approx(best / 2)
  whole = 10 * math.log10(2)
  assert _value(pixels.PSNR(over='video'), batch) == pytest.approx(whole)
  with pytest.raises(errors.ConfigError, match='clip'):
    pixels.PSNR(over='clip')


def test_ssim():
  batch = _videos()
  same = {'generated': batch['real'], 'real': batch['real']}
  assert _value(pixels.SSIM(), same) == pytest.approx(1, abs=1e-12)
  assert 0.5 < _value(pixels.SSIM(), batch) < 1
  with pytest.raises(errors.DataError, match='11 x 11'):
    _value(pixels.SSIM(), _videos(size=8))


def test_values_do_not_depend_on_the_batch():
  batch = _videos()
  for metric in (pixels.PSNR(), pixels.SSIM()):
    alone = metric.measure({k: v[1:2] for k, v in batch.items()})['value']
    assert metric.measure(batch)['value'][1] == alone[0]


def test_si_sdr():
  rng = np.random.default_rng(0)
  real = rng.normal(size=(1, 1000)) * 0.1
  noise = rng.normal(size=(1, 1000)) * 0.1
  noise -= real * (noise @ real.T) / (real @ real.T)
  noise *= np.linalg.norm(real) / np.linalg.norm(noise) / 10

  def ratio(generated, real=real, **settings):
    batch = {
      'generated_audio': generated.astype(np.float32),
      'real_audio': real.astype(np.float32),
    }
    return _value(sound.SISDR(**settings), batch)

  assert ratio(real + noise) == pytest.approx(20, abs=1e-4)
  assert ratio(3 * (real + noise)) == pytest.approx(20, abs=1e-4)
  assert ratio(real + 1) < 0 < ratio(real + 1, zero_mean=True)
  assert ratio(real) == 100


def test_si_sdr_of_silence():
  sounding, silent = np.ones((1, 8), np.float32), np.zeros((1, 8), np.float32)
  metric = sound.SISDR()

  def ratio(generated, real):
    return _value(metric, {'generated_audio': generated, 'real_audio': real})

  assert ratio(silent, silent) == 100
  assert ratio(sounding, silent) == -100
  # Nothing where there is sound: no part of it is the signal.
  assert ratio(silent, sounding) == -100


def test_mel_distance():
  time = np.arange(16000) / 16000
  tones = np.sin(2 * np.pi * np.array([[440.0], [440.0], [1760.0]]) * time)
  metric = sound.MelDistance()
  values = metric.measure(
    {
      'generated_audio': (tones * [[1.0], [0.1], [1.0]]).astype(np.float32),
      'real_audio': np.repeat(tones[:1], 3, axis=0).astype(np.float32),
    }
  )['value']
  assert values[0] == 0
  assert 0 < values[1] <= 1  # 20 dB softer: 1, but for bands below the floor.
  assert values[2] > values[1]
  with pytest.raises(errors.DataError, match='shorter than the shortest'):
    short = np.zeros((1, 100), np.float32)
    metric.measure({'generated_audio': short, 'real_audio': short})


def test_perplexity_weighs_every_token():
  metric = tokens.Perplexity('visual')
  batch = {
    'nll_visual': np.array([10 * math.log(2), 0.0, 30 * math.log(4)]),
    'tokens_visual': np.array([10, 0, 30]),
  }
  assert metric.name == 'perplexity_visual'
  expected = math.exp((10 * math.log(2) + 30 * math.log(4)) / 40)
  assert _value(metric, batch) == pytest.approx(expected, rel=1e-12)
  assert math.isnan(metric.compute(metric.empty()))
  with pytest.raises(errors.DataError, match='two vectors'):
    metric.measure({**batch, 'tokens_visual': np.ones((3, 1))})


class _Colours:
  """A perceptual network whose every answer can be said by hand."""

  name = 'colours'
  fingerprint = 'colours'

  def __call__(self, one, other):
    difference = one.astype(np.float32) - other
    return np.abs(difference).mean(axis=(1, 2, 3))

  def frames(self, frames):
    return frames.mean(axis=(1, 2)).astype(np.float32)

  def text(self, captions):
    table = {'red': (2, 0, 0), 'green': (0, 2, 0)}
    return np.array([table[c] for c in captions], np.float32)


def test_lpips_is_the_mean_over_frames():
  real = np.zeros((2, 3, 4, 4, 3), np.uint8)
  generated = real.copy()
  generated[1, 0] = 30
  measured = perceptual.LPIPS(_Colours()).measure(
    {'generated': generated, 'real': real}
  )
  np.testing.assert_allclose(measured['value'], [0, 10])


def test_clipsim_is_the_mean_cosine_over_frames():
  video = np.zeros((2, 2, 4, 4, 3), np.uint8)
  video[0, :, ..., 0] = 255  # Red, twice.
  video[1, 0, ..., 1] = 99  # Green, then as red as green.
  video[1, 1, ..., :2] = 50
  metric = perceptual.CLIPSIM(_Colours())
  batch = {'generated': video, 'text': np.array(['red', 'green'])}
  np.testing.assert_allclose(
    metric.measure(batch)['value'], [1, (1 + math.sqrt(0.5)) / 2], rtol=1e-6
  )
  with pytest.raises(errors.DataError, match='1 captions for 2 videos'):
    metric.measure({**batch, 'text': np.array(['red'])})


def test_pairs_must_match():
  batch = _videos()
  with pytest.raises(errors.DataError, match='is not like real'):
    pixels.PSNR().measure({**batch, 'real': batch['real'][:, :2]})


def test_sums_keep_what_rounding_takes():
  # Large values that cancel: 2 is left, and a plain sum would say 0.
  values = np.array([1e16, 1.0, -1e16, 1.0])
  states = [sums.add(sums.empty(), values[i : i + 1]) for i in range(4)]
  merged = sums.merge(states)
  assert sums.mean(merged) == 0.5
  two = sums.merge([sums.merge(states[:2]), *states[2:]])
  assert {k: float(v) for k, v in two.items()} == {
    k: float(v) for k, v in merged.items()
  }
  assert sums.mean(sums.add(sums.empty(), np.array([np.inf, 1]))) == math.inf


def test_fingerprints_tell_settings_apart():
  prints = {
    pixels.PSNR().fingerprint,
    pixels.PSNR(over='video').fingerprint,
    pixels.SSIM().fingerprint,
    tokens.Perplexity('audio').fingerprint,
    tokens.Perplexity('visual').fingerprint,
  }
  assert len(prints) == 5
