"""Mel filters, spectra and the multi-scale loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.losses import spectral


def _tone(hertz, samples=4096, rate=16_000):
  time = np.arange(samples) / rate
  return np.sin(2 * np.pi * hertz * time)[None].astype(np.float32)


def test_mel_scale_by_hand():
  # Slaney: 200/3 Hz a mel up to 1 kHz (15 mel), then 27 mel for a factor 6.4.
  np.testing.assert_allclose(spectral.hertz_to_mel(500.0), 7.5)
  np.testing.assert_allclose(spectral.hertz_to_mel(6400.0), 42.0)
  hertz = np.array([10.0, 999.0, 1001.0, 7000.0])
  back = spectral.mel_to_hertz(spectral.hertz_to_mel(hertz))
  np.testing.assert_allclose(back, hertz)


def test_filters_are_triangles_of_equal_area():
  filters = spectral.mel_filterbank(1025, 20, 16_000)
  assert filters.shape == (1025, 20) and filters.min() == 0
  areas = filters.sum(0) * 8000 / 1024
  np.testing.assert_allclose(areas, 1.0, atol=0.02)
  centres = filters.argmax(0)
  assert (np.diff(centres) > 0).all()


def test_filters_equal_the_reference():
  audio_utils = pytest.importorskip(
    'transformers.audio_utils', reason='transformers is the reference here'
  )
  theirs = audio_utils.mel_filter_bank(
    257, 40, 0.0, 8000.0, 16_000, norm='slaney', mel_scale='slaney'
  )
  ours = spectral.mel_filterbank(257, 40, 16_000)
  np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(('window', 'hop'), [(8, 2), (8, 8), (7, 3)])
def test_frames_are_slices(window, hop):
  signal = np.arange(40, dtype=np.float32)[None]
  frames = spectral.frame_signal(jnp.asarray(signal), window, hop)
  assert frames.shape == (1, 1 + (40 - window) // hop, window)
  for index, frame in enumerate(np.asarray(frames[0])):
    begin = index * hop
    np.testing.assert_array_equal(frame, signal[0, begin : begin + window])


def test_spectrum_peaks_at_the_tone():
  spectrum = spectral.short_time_spectrum(_tone(1000.0), 512, 128)
  peaks = np.abs(spectrum[0]).argmax(-1)
  assert (peaks == 1000 * 512 // 16_000).all()


def _equation_4(target, guess, windows, floor):
  """SoundStream's equations 4 and 5 as they are written, in double precision.

  Sums over windows, frames and bands, in place of any mean.
  """
  total = 0.0
  for window in windows:
    hop, bands = window // 4, min(64, window // 4)
    filters = spectral.mel_filterbank(window // 2 + 1, bands, 16_000)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    for true, made in zip(target, guess):
      for start in range(0, len(true) - window + 1, hop):
        bands_of = lambda x, s=start, w=window, h=hann, f=filters: (
          np.abs(np.fft.rfft(x[s : s + w] * h)) @ f
        )
        a, b = bands_of(true), bands_of(made)
        total += np.abs(a - b).sum()
        logs = np.log(a + floor) - np.log(b + floor)
        total += np.sqrt(window / 2) * np.linalg.norm(logs)
  return total


@pytest.mark.parametrize('windows', [(64,), (2048,), (64, 256, 1024)])
def test_loss_is_equation_4_of_soundstream(windows):
  drawn = np.random.default_rng(0)
  target = drawn.normal(size=(2, 4096)) * 0.1
  guess = target + drawn.normal(size=(2, 4096)) * 0.03
  found = spectral.multi_scale_mel_loss(
    jnp.asarray(target, jnp.float32),
    jnp.asarray(guess, jnp.float32),
    sampling_rate=16_000,
    windows=windows,
    floor=1e-2,
  )
  expected = _equation_4(target, guess, windows, 1e-2)
  scale = target.size * len(windows)
  np.testing.assert_allclose(float(found) * scale, expected, rtol=1e-3)


def test_the_defaults_are_soundstreams_windows():
  drawn = np.random.default_rng(2)
  target = drawn.normal(size=(1, 2048)) * 0.1
  guess = target + drawn.normal(size=(1, 2048)) * 0.03
  found = spectral.multi_scale_mel_loss(
    jnp.asarray(target, jnp.float32),
    jnp.asarray(guess, jnp.float32),
    sampling_rate=16_000,
  )
  # The longest is as long as the sound.
  windows = (64, 128, 256, 512, 1024, 2048)
  expected = _equation_4(target, guess, windows, 1e-5) / (2048 * 6)
  np.testing.assert_allclose(float(found), expected, rtol=1e-3)


def test_windows_longer_than_the_sound_do_not_count():
  drawn = np.random.default_rng(3)
  pair = jnp.asarray(drawn.normal(size=(2, 1, 500)), jnp.float32)
  loss = lambda windows: float(
    spectral.multi_scale_mel_loss(*pair, sampling_rate=16_000, windows=windows)
  )
  assert loss((64, 501)) == loss((64,)) != loss((64, 500))


def test_a_magnitude_and_its_gradient_at_zero():
  spectrum = jnp.asarray([3.0 + 4.0j, 0.0])
  np.testing.assert_allclose(
    spectral.magnitude(spectrum), [5.0, 1e-5], rtol=1e-6
  )
  slope = jax.grad(lambda x: spectral.magnitude(x + 0j).sum())
  assert float(slope(jnp.zeros(()))) == 0.0


def test_the_window_is_periodic():
  np.testing.assert_allclose(
    spectral.hann_window(4), [0.0, 0.5, 1.0, 0.5], atol=1e-7
  )
  assert spectral.hann_window(4).dtype == np.float32


def test_the_spectrum_of_a_cosine_by_hand():
  # Hann of 8 samples times cos(2 pi n / 4): half of its sum, 4, at bin 2, and a
  # quarter of that beside it, with the opposite sign.
  cosine = np.cos(2 * np.pi * np.arange(12) / 4)[None].astype(np.float32)
  spectrum = spectral.short_time_spectrum(jnp.asarray(cosine), 8, 4)
  assert spectrum.shape == (1, 2, 5)
  np.testing.assert_allclose(
    np.asarray(spectrum[0]), np.tile([0, -1, 2, -1, 0], (2, 1)), atol=1e-5
  )


def test_a_signal_shorter_than_every_window_is_refused():
  short = jnp.zeros((1, 100))
  with pytest.raises(errors.ConfigError, match='100 samples'):
    spectral.multi_scale_mel_loss(
      short, short, sampling_rate=16_000, windows=(128, 256)
    )


def test_the_length_of_a_clip_does_not_change_the_scale():
  drawn = np.random.default_rng(1)
  noise = jnp.asarray(drawn.normal(size=(2, 1, 32_768)) * 0.1, jnp.float32)
  loss = lambda length: float(
    spectral.multi_scale_mel_loss(
      noise[0, :, :length], noise[1, :, :length], sampling_rate=16_000
    )
  )
  np.testing.assert_allclose(loss(32_768), loss(16_384), rtol=0.05)


def test_loss_orders_sounds_and_has_finite_gradients():
  loss = lambda a, b: spectral.multi_scale_mel_loss(
    a, b, sampling_rate=16_000, windows=(128, 512, 8192)
  )
  target = _tone(500.0)
  same, near, far = (loss(target, _tone(f)) for f in (500.0, 520.0, 2000.0))
  assert float(same) < 1e-3 < float(near) < float(far)
  # Phases do not count: this is what sets it apart from a waveform distance.
  assert float(loss(target, -target)) < 1e-3
  gradient = jax.grad(loss, argnums=1)(target, jnp.zeros_like(target))
  assert np.isfinite(gradient).all()


def test_one_prediction_is_not_broadcast():
  with pytest.raises(AssertionError, match='shape'):
    spectral.multi_scale_mel_loss(
      jnp.zeros((2, 512)), jnp.zeros((1, 512)), sampling_rate=16_000
    )
