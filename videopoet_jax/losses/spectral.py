"""Spectral analysis and the multi-scale mel reconstruction loss.

The loss is the one of SoundStream (arXiv 2107.03312, equations 4 and 5): mel
spectrograms of several window lengths, compared by an L1 distance of
magnitudes and an L2 distance of logarithms.
"""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors

# Slaney's mel scale: linear below 1 kHz, logarithmic above.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def hertz_to_mel(hertz: np.ndarray | float) -> np.ndarray:
  """Slaney's mel scale of a frequency in Hz."""
  hertz = np.asarray(hertz, np.float64)
  above = _BREAK_MEL + np.log(np.maximum(hertz, 1e-9) / _BREAK_HZ) / _LOG_STEP
  return np.where(hertz < _BREAK_HZ, hertz / _LINEAR_HZ_PER_MEL, above)


def mel_to_hertz(mel: np.ndarray) -> np.ndarray:
  """The inverse of `hertz_to_mel`."""
  mel = np.asarray(mel, np.float64)
  above = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
  return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, above)


@functools.lru_cache(maxsize=64)
def mel_filterbank(
  num_bins: int, num_mels: int, sampling_rate: int
) -> np.ndarray:
  """Triangular filters of equal area on Slaney's mel scale.

  Args:
    num_bins: bins of the magnitude spectrum, from 0 Hz to half the rate.
    num_mels: filters.
    sampling_rate: samples a second.

  Returns:
    float32 (num_bins, num_mels).
  """
  bins = np.linspace(0.0, sampling_rate / 2, num_bins)
  edges = mel_to_hertz(
    np.linspace(0.0, hertz_to_mel(sampling_rate / 2), num_mels + 2)
  )
  low, centre, high = edges[:-2], edges[1:-1], edges[2:]
  rising = (bins[:, None] - low[None]) / (centre - low)[None]
  falling = (high[None] - bins[:, None]) / (high - centre)[None]
  triangles = np.maximum(0.0, np.minimum(rising, falling))
  return (triangles * (2.0 / (high - low))[None]).astype(np.float32)


def hann_window(length: int) -> np.ndarray:
  """The periodic Hann window, float32 (length,)."""
  phase = 2 * np.pi * np.arange(length) / length
  return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


def frame_signal(signal_BT: jax.Array, window: int, hop: int) -> jax.Array:
  """Cuts overlapping frames; a tail shorter than a window is dropped.

  Example: 10 samples, window 4, hop 2 -> 4 frames, starting at 0, 2, 4, 6.

  Args:
    signal_BT: (batch, samples).
    window: samples a frame.
    hop: samples between the starts of two frames.

  Returns:
    (batch, frames, window).
  """
  num_frames = 1 + (signal_BT.shape[1] - window) // hop
  if window % hop:
    index = np.arange(num_frames)[:, None] * hop + np.arange(window)[None]
    return signal_BT[:, index]
  # Frames are built from shifted whole hops: slices, whose gradients are cheap
  # on any backend, unlike those of a gather.
  overlap = window // hop
  num_hops = num_frames + overlap - 1
  hops = signal_BT[:, : num_hops * hop].reshape(-1, num_hops, hop)
  shifted = [hops[:, n : n + num_frames] for n in range(overlap)]
  return jnp.concatenate(shifted, axis=-1)


def short_time_spectrum(
  signal_BT: jax.Array, window: int, hop: int
) -> jax.Array:
  """Complex Hann-windowed spectra.

  Args:
    signal_BT: (batch, samples).
    window: samples a frame.
    hop: samples between the starts of two frames.

  Returns:
    (batch, frames, window // 2 + 1).
  """
  frames = frame_signal(signal_BT, window, hop)
  return jnp.fft.rfft(frames * hann_window(window)[None, None])


def magnitude(spectrum: jax.Array) -> jax.Array:
  """|spectrum| with a gradient that is finite at zero."""
  power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
  return jnp.sqrt(power + 1e-10)


def mel_spectrogram(
  signal_BT: jax.Array,
  window: int,
  hop: int,
  num_mels: int,
  sampling_rate: int,
) -> jax.Array:
  """Mel magnitudes, (batch, frames, num_mels)."""
  spectrum = short_time_spectrum(signal_BT, window, hop)
  filters = mel_filterbank(window // 2 + 1, num_mels, sampling_rate)
  return magnitude(spectrum) @ filters


def multi_scale_mel_loss(
  target_BT: jax.Array,
  prediction_BT: jax.Array,
  *,
  sampling_rate: int,
  windows: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048),
  num_mels: int = 64,
  floor: float = 1e-5,
) -> jax.Array:
  """Distance of two signals in mel spectrograms of several resolutions.

  Args:
    target_BT: (batch, samples) in [-1, 1].
    prediction_BT: the same shape.
    sampling_rate: samples a second.
    windows: window lengths in samples; a window longer than the
      signal is left out, and the hop is a quarter of the window.
    num_mels: mel bands, at most a quarter of the window (short windows have too
      few bins for more).
    floor: added to magnitudes before the logarithm; magnitudes well below it
      count as silence.

  Returns:
    A scalar: equation 4 of SoundStream, which sums over windows and frames the
    L1 norm of the difference of magnitudes plus sqrt(window / 2) times the L2
    norm of the difference of log magnitudes. It is divided by the number of
    samples of the batch and by that of the windows, so that neither the length
    of the clips nor the choice of windows changes its scale.

  Raises:
    ConfigError: every window is longer than the signal.
  """
  chex.assert_rank(target_BT, 2)
  chex.assert_equal_shape([target_BT, prediction_BT])
  length = target_BT.shape[1]
  used = [window for window in windows if window <= length]
  if not used:
    raise errors.ConfigError(
      f'AudioTokenizerRecipe.windows is {windows}, and the sound has {length} '
      'samples; give a window that is no longer'
    )
  total = jnp.zeros((), jnp.float32)
  num_samples = target_BT.size
  for window in used:
    mels = min(num_mels, window // 4)
    hop = window // 4
    true = mel_spectrogram(target_BT, window, hop, mels, sampling_rate)
    guess = mel_spectrogram(prediction_BT, window, hop, mels, sampling_rate)
    log_difference = jnp.log(true + floor) - jnp.log(guess + floor)
    # The small constant keeps the gradient finite where both are equal.
    norm = jnp.sqrt(jnp.sum(jnp.square(log_difference), axis=-1) + 1e-10)
    weight = np.sqrt(window / 2)
    total += jnp.sum(jnp.abs(true - guess)) + weight * jnp.sum(norm)
  return total / (num_samples * len(used))
