"""SI-SDR and the mel distance of pairs of sounds."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import sound


def _value(metric, batch):
  return metric.compute(metric.add(metric.empty(), metric.measure(batch)))


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
