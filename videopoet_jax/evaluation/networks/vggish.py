"""VGGish, the network of FAD, with its own front end.

It follows Hershey et al. (2017) and the release of AudioSet's models: sound at
16 kHz, log mel magnitudes of 64 bands, windows of 0.96 s, 128 features each.
FAD (Kilgour et al., 2019) takes the features before AudioSet's whitening and
quantization.
"""

import dataclasses
import functools
import math
import pathlib
from typing import Any

import numpy as np
from scipy import signal

from videopoet_jax.core import errors
from videopoet_jax.evaluation.networks import interface
from videopoet_jax.evaluation.networks import paths
from videopoet_jax.evaluation.networks import pytorch

RATE = 16000
_WINDOW, _HOP, _BINS = 400, 160, 512  # 25 ms, 10 ms.
_BANDS, _LOW_HZ, _HIGH_HZ = 64, 125.0, 7500.0
_LOG_OFFSET = 0.01
_FRAMES = 96  # 0.96 s; windows do not overlap.
_CHANNELS = (64, 'pool', 128, 'pool', 256, 256, 'pool', 512, 512, 'pool')


def vggish(path: str, sampling_rate: int = RATE) -> 'VGGish':
  """Opens VGGish for sound of some sampling rate."""
  found = paths.weights(
    path,
    what="VGGish's weights",
    published='vggish-10086976.pth, a release asset of harritaylor/torchvggish',
    field='vggish',
  )
  return VGGish(found, sampling_rate)


@dataclasses.dataclass(frozen=True)
class VGGish:
  """Features of each 0.96 s of a sound, (B, windows, 128).

  Attributes:
    path: path of the weights.
    sampling_rate: sampling rate of its input, which is resampled to 16 kHz by a
      polyphase filter.
    chunk: windows a call.
    name: name of the network.
    width: width of its features.
    takes: kind of input, sound.
    stand_in: False, it is the published network.
  """

  path: pathlib.Path
  sampling_rate: int = RATE
  chunk: int = 16
  name: str = 'vggish'
  width: int = 128
  takes: str = 'audio'
  stand_in: bool = False

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hash of the weights and the sampling rate."""
    return interface.fingerprint(self.path, self.name, self.sampling_rate)

  @functools.cached_property
  def module(self) -> Any:
    """The module, loaded when first used."""
    nn = pytorch.imported('torch.nn')
    layers, channels = [], 1
    for step in _CHANNELS:
      if isinstance(step, str):
        layers.append(nn.MaxPool2d(2, 2))
      else:
        layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU()]
        channels = step
    embeddings = nn.Sequential(
      *(nn.Linear(512 * 4 * 6, 4096), nn.ReLU()),
      *(nn.Linear(4096, 4096), nn.ReLU()),
      *(nn.Linear(4096, self.width), nn.ReLU()),
    )
    module = nn.ModuleDict(
      {'features': nn.Sequential(*layers), 'embeddings': embeddings}
    )
    return pytorch.fill(module, pytorch.state_dict(self.path), self.path)

  def __call__(self, audio_BT: np.ndarray) -> np.ndarray:
    windows = log_mel_windows(resample(audio_BT, self.sampling_rate, RATE))
    flat = windows.reshape(-1, 1, _FRAMES, _BANDS)
    features = pytorch.in_chunks(self._features, (flat,), self.chunk)
    return features.reshape(*windows.shape[:2], self.width)

  def _features(self, windows: Any) -> Any:
    maps_NCHW = self.module['features'](windows)
    # The released weights were trained with channels last.
    return self.module['embeddings'](maps_NCHW.permute(0, 2, 3, 1).flatten(1))


def resample(audio_BT: np.ndarray, origin: int, target: int) -> np.ndarray:
  """Resamples sound by a polyphase filter."""
  if origin == target:
    return audio_BT
  common = math.gcd(origin, target)
  return signal.resample_poly(
    audio_BT, target // common, origin // common, axis=1
  )


def log_mel_windows(audio_BT: np.ndarray) -> np.ndarray:
  """Returns VGGish's inputs.

  Args:
    audio_BT: sound at 16 kHz, in [-1, 1].

  Returns:
    float32 (B, windows, 96, 64); a tail that fills no window is dropped.

  Raises:
    DataError: the sound is shorter than a window.
  """
  shortest = (_FRAMES - 1) * _HOP + _WINDOW
  if audio_BT.shape[1] < shortest:
    raise errors.DataError(
      f'VGGish needs sounds of {shortest / RATE:.3f} s or more, not '
      f'{audio_BT.shape[1] / RATE:.3f} s; FAD needs at least one window.'
    )
  frames = np.lib.stride_tricks.sliding_window_view(
    audio_BT.astype(np.float64), _WINDOW, axis=1
  )[:, ::_HOP]
  hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
  magnitudes = np.abs(np.fft.rfft(frames * hann, _BINS))
  log_mels = np.log(magnitudes @ _mel_matrix() + _LOG_OFFSET)
  count = log_mels.shape[1] // _FRAMES
  windows = log_mels[:, : count * _FRAMES]
  return windows.reshape(-1, count, _FRAMES, _BANDS).astype(np.float32)


@functools.cache
def _mel_matrix() -> np.ndarray:
  """Triangular filters on HTK's mel scale, (257, 64), without 0 Hz."""

  def mel(hertz: Any) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

  bins = mel(np.linspace(0, RATE / 2, _BINS // 2 + 1))[:, None]
  edges = np.linspace(mel(_LOW_HZ), mel(_HIGH_HZ), _BANDS + 2)[None]
  low, centre, high = edges[:, :-2], edges[:, 1:-1], edges[:, 2:]
  rising, falling = (
    (bins - low) / (centre - low),
    (high - bins) / (high - centre),
  )
  matrix = np.maximum(0, np.minimum(rising, falling))
  matrix[0] = 0
  return matrix
