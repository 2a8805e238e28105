"""PSNR and SSIM, against values by hand and by the definition."""

import math

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import pixels


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


def test_pairs_must_match():
  batch = _videos()
  with pytest.raises(errors.DataError, match='is not like real'):
    pixels.PSNR().measure({**batch, 'real': batch['real'][:, :2]})


def test_fingerprints_tell_settings_apart():
  prints = {
    pixels.PSNR().fingerprint,
    pixels.PSNR(over='video').fingerprint,
    pixels.SSIM().fingerprint,
    pixels.PSNR(smallest_error=1.0).fingerprint,
  }
  assert len(prints) == 4


def test_psnr_of_one_level_everywhere():
  real = np.full((1, 1, 2, 2, 3), 100, np.uint8)
  batch = {'real': real, 'generated': real + np.uint8(5)}
  wanted = 10 * math.log10(255**2 / 25)
  assert _value(pixels.PSNR(), batch) == pytest.approx(wanted, rel=1e-12)


def test_psnr_of_both_ways_around_is_the_same():
  batch = _videos()
  swapped = {'generated': batch['real'], 'real': batch['generated']}
  assert _value(pixels.PSNR(), batch) == _value(pixels.PSNR(), swapped)


def _ssim_by_definition(one, other):
  """Wang et al. (2004) at one place, with sums over the window."""
  offsets = np.arange(-5, 6)
  window = np.exp(-0.5 * (offsets[:, None] ** 2 + offsets[None] ** 2) / 1.5**2)
  window /= window.sum()
  mean_1, mean_2 = (window * one).sum(), (window * other).sum()
  variance_1 = (window * (one - mean_1) ** 2).sum()
  variance_2 = (window * (other - mean_2) ** 2).sum()
  both = (window * (one - mean_1) * (other - mean_2)).sum()
  c1, c2 = 2.55**2, 7.65**2
  return ((2 * mean_1 * mean_2 + c1) * (2 * both + c2)) / (
    (mean_1**2 + mean_2**2 + c1) * (variance_1 + variance_2 + c2)
  )


def test_similarity_map_is_the_definition_at_every_place():
  batch = _videos(size=13)
  one, other = batch['generated'][0], batch['real'][0]
  found = pixels.similarity_map(one, other)
  assert found.shape == (4, 3, 3, 3)
  for t, y, x, c in ((0, 0, 0, 0), (1, 2, 1, 2), (3, 1, 2, 1)):
    part = (t, slice(y, y + 11), slice(x, x + 11), c)
    wanted = _ssim_by_definition(one[part].astype(float), other[part])
    assert found[t, y, x, c] == pytest.approx(wanted, rel=1e-9)


def test_eleven_pixels_are_enough_for_ssim():
  assert 0 < _value(pixels.SSIM(), _videos(size=11)) < 1
  with pytest.raises(errors.DataError, match='not 10 x 10'):
    _value(pixels.SSIM(), _videos(size=10))
