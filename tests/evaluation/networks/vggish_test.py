"""VGGish's front end, and its loader on random weights."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import vggish


def test_windows():
  audio = np.random.default_rng(0).normal(size=(2, 34000)) * 0.1
  windows = vggish.log_mel_windows(audio)
  assert windows.shape == (2, 2, 96, 64)
  # Windows are of the sound alone that they cover.
  np.testing.assert_allclose(
    vggish.log_mel_windows(audio[:, 96 * 160 :])[:, 0], windows[:, 1], rtol=1e-6
  )
  with pytest.raises(errors.DataError, match=r'0\.975 s or more, not 0\.500 s'):
    vggish.log_mel_windows(audio[:, :8000])


def test_a_tone_is_heard_in_its_band_at_any_sampling_rate():
  bands = []
  for rate in (8000, 16000, 44100):
    tone = np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)[None]
    windows = vggish.log_mel_windows(vggish.resample(tone, rate, vggish.RATE))
    bands.append(int(windows.mean((0, 1, 2)).argmax()))
  edges = np.linspace(
    1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66
  )
  nearest = np.abs(edges[1:-1] - 1127 * np.log1p(1000 / 700)).argmin()
  assert bands == [nearest] * 3


def test_loader(tmp_path):
  torch = pytest.importorskip('torch', reason='needs torch (eval extra)')
  path = tmp_path / 'vggish.pth'
  torch.save({'features.0.weight': torch.zeros(3)}, path)
  network = vggish.vggish(str(path))
  with pytest.raises(errors.ConfigError, match='weights of another network'):
    network(np.zeros((1, 16000), np.float32))
  path.write_bytes(b'no weights')
  with pytest.raises(errors.ConfigError, match='no state dict'):
    network(np.zeros((1, 16000), np.float32))
