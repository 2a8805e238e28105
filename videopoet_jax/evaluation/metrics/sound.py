"""SI-SDR and mel distance of pairs of sounds."""

import dataclasses
import math

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import features
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import sums
from videopoet_jax.losses import spectral


def _sounds(batch: interface.Arrays, name: str) -> tuple[np.ndarray, ...]:
  generated, real = interface.pair(batch, name, '_audio')
  return (
    features.waveform(generated, 'generated_audio').astype(np.float64),
    features.waveform(real, 'real_audio').astype(np.float64),
  )


@dataclasses.dataclass(frozen=True)
class SISDR(sums.SampleMean):
  """Scale-invariant signal-to-distortion ratio in dB, the mean over samples.

  It follows Le Roux et al. (2019); the real sound is the signal.

  Attributes:
    zero_mean: whether to subtract the mean of both first.
    limit_db: ratios are clipped to plus and minus this. A perfect sound, and
      silence instead of silence, count as the limit; silence instead of sound,
      and sound instead of silence, as its negative.
    name: name in results.
  """

  zero_mean: bool = False
  limit_db: float = 100.0
  name: str = 'si_sdr'
  higher_is_better: bool = True
  needs: tuple[str, ...] = ('generated_audio', 'real_audio')

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    generated, real = _sounds(batch, self.name)
    if self.zero_mean:
      generated = generated - generated.mean(axis=1, keepdims=True)
      real = real - real.mean(axis=1, keepdims=True)
    values = [self._ratio(one, other) for one, other in zip(generated, real)]
    return {interface.PER_SAMPLE: np.array(values, np.float64)}

  def _ratio(self, generated_T: np.ndarray, real_T: np.ndarray) -> float:
    power = float(real_T @ real_T)
    scale = float(generated_T @ real_T) / power if power else 0.0
    signal = scale * real_T
    noise = float(np.sum((generated_T - signal) ** 2))
    kept = float(signal @ signal)
    if not noise:
      return self.limit_db if kept or not power else -self.limit_db
    ratio = kept / noise
    if not ratio:
      return -self.limit_db
    decibels = 10 * math.log10(ratio)
    return min(max(decibels, -self.limit_db), self.limit_db)


@dataclasses.dataclass(frozen=True)
class MelDistance(sums.SampleMean):
  """Mean absolute difference of log10 mel magnitudes, over several windows.

  It follows the practice for codecs (Kumar et al., 2023): Hann windows with a
  hop of a quarter, filters of equal area on Slaney's scale.

  Attributes:
    sampling_rate: samples a second.
    windows: lengths in samples; those longer than the sound are left out.
    num_mels: bands of each window.
    floor: lower bound of magnitudes.
    name: name in results.
  """

  sampling_rate: int = 16000
  windows: tuple[int, ...] = (512, 2048)
  num_mels: tuple[int, ...] = (80, 150)
  floor: float = 1e-5
  name: str = 'mel_distance'
  higher_is_better: bool = False
  needs: tuple[str, ...] = ('generated_audio', 'real_audio')

  def measure(self, batch: interface.Arrays) -> interface.Arrays:
    """Measures each pair.

    Raises:
      DataError: sounds are shorter than the shortest window.
    """
    generated, real = _sounds(batch, self.name)
    samples = generated.shape[1]
    if samples < min(self.windows):
      raise errors.DataError(
        f'{self.name}: sounds of {samples} samples are shorter than the '
        f'shortest window of {min(self.windows)}.'
      )
    per_window = []
    for window, num_mels in zip(self.windows, self.num_mels):
      if window <= samples:
        one, other = (
          self.log_mel(sound, window, num_mels) for sound in (generated, real)
        )
        per_window.append(np.abs(one - other).mean(axis=(1, 2)))
    return {interface.PER_SAMPLE: np.mean(per_window, axis=0)}

  def log_mel(
    self, audio_BT: np.ndarray, window: int, num_mels: int
  ) -> np.ndarray:
    """Returns log10 of mel magnitudes, float64 (B, frames, num_mels)."""
    frames = np.lib.stride_tricks.sliding_window_view(audio_BT, window, axis=1)
    frames = frames[:, :: window // 4] * spectral.hann_window(window)
    filters = spectral.mel_filterbank(
      window // 2 + 1, num_mels, self.sampling_rate
    )
    mels = np.abs(np.fft.rfft(frames)) @ filters.astype(np.float64)
    return np.log10(np.maximum(mels, self.floor))
