"""A small codec that maps each hop of sound to a latent and back.

The encoder reads a hop as samples and as log magnitudes of the spectra inside
it; a network with one hidden layer maps them to a latent, and another one maps
the latent to samples. There is no deep stack of convolutions to train, so a CPU
needs seconds where 'soundstream' needs hours; the price is a number of
parameters that grows with the hop.
"""

from __future__ import annotations

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.layers import causal_conv1d
from videopoet_jax.losses import spectral
from videopoet_jax.tokenizers.soundstream import config as config_lib

# Samples of a tone and log magnitudes of its spectrum have about the same
# variance with these.
_SAMPLE_SCALE = 3.0
_MAGNITUDE_SCALE = 1000.0
# The envelope's part of a latent, in units of the learned part.
_ENVELOPE_SCALE = 12.0
# Amplitudes below its inverse count as silence in the levels of tones.
_LEVEL_SCALE = 30.0


def _dense(features: int, name: str, scale: float = 1.0) -> nn.Dense:
  """A linear layer over channels; frames do not mix, so causality holds.

  Args:
    features: output channels.
    name: name of the layer.
    scale: initial standard deviation of the outputs, for inputs of one.
  """
  init = nn.initializers.variance_scaling(
    max(scale, 1e-9) ** 2, 'fan_in', 'normal'
  )
  return nn.Dense(
    features,
    kernel_init=nn.with_logical_partitioning(init, ('conv_in', 'conv_out')),
    bias_init=nn.with_logical_partitioning(
      nn.initializers.zeros_init(), ('conv_out',)
    ),
    name=name,
  )


def _normalise(x_BFD: jax.Array) -> jax.Array:
  """Normalizes each frame's channels to mean zero and variance one."""
  x_BFD = x_BFD - jnp.mean(x_BFD, axis=-1, keepdims=True)
  power = jnp.mean(jnp.square(x_BFD), axis=-1, keepdims=True)
  return x_BFD * jax.lax.rsqrt(power + 1e-6)


def log_magnitudes(hops_BFT: jax.Array, window: int) -> jax.Array:
  """Log magnitudes of the half-overlapping spectra inside each hop.

  Args:
    hops_BFT: (batch, frames, hop).
    window: samples of a spectrum.

  Returns:
    (batch, frames, spectra * (window // 2 + 1)), 0 for silence to about 1 for
    a tone at full scale.
  """
  batch, frames, hop = hops_BFT.shape
  spectrum = spectral.short_time_spectrum(
    hops_BFT.reshape(batch * frames, hop), window, window // 2
  )
  magnitude = spectral.magnitude(spectrum) * (2.0 / window)
  compressed = jnp.log1p(_MAGNITUDE_SCALE * magnitude)
  return compressed.reshape(batch, frames, -1) / np.log1p(_MAGNITUDE_SCALE)


class Encoder(nn.Module):
  """Maps a waveform to latents.

  Attributes:
    config: sizes.
  """

  config: config_lib.SoundStreamConfig

  @nn.compact
  def __call__(self, audio_BT: jax.Array) -> jax.Array:
    """Encodes.

    Args:
      audio_BT: (batch, frames * hop).

    Returns:
      (batch, frames, latent_width).
    """
    config = self.config
    hops_BFT = audio_BT.reshape(audio_BT.shape[0], -1, config.hop)
    x_BFD = jnp.concatenate(
      (
        _SAMPLE_SCALE * hops_BFT,
        log_magnitudes(hops_BFT, config.window),
      ),
      axis=-1,
    )
    x_BFD = nn.gelu(_dense(config.hidden_width, 'input')(x_BFD))
    y_BFD = causal_conv1d.CausalConv1D(
      config.hidden_width, config.encoder_context, name='context'
    )(_normalise(x_BFD))
    x_BFD = x_BFD + nn.gelu(y_BFD)
    learned_BFD = _dense(config.latent_width - config.envelope_steps, 'output')(
      _normalise(x_BFD)
    )
    # Rare events would be learned late: the envelope of the high band, which
    # shows
    # when a click comes, is part of the latent from the start.
    steps_BFD = envelope(tone_levels(hops_BFT, config), config)
    return jnp.concatenate((learned_BFD, _ENVELOPE_SCALE * steps_BFD), axis=-1)


def tone_slots(hop: int, length: int) -> int:
  """Starts of short tones in a hop: one each half of their length."""
  return 2 * hop // length - 1


def tone_bins(config: config_lib.SoundStreamConfig) -> np.ndarray:
  """Even bins, of a window of half `config.window`, above the crossover."""
  length = config.window // 2
  lowest = config.crossover_hertz * length / config.sampling_rate
  return np.arange(2 * max(1, int(np.ceil(lowest / 2))), length // 2, 2)


def tones(bins: np.ndarray, length: int) -> np.ndarray:
  """Short tones that agree at their middles, float32 (tones, length).

  Their frequencies are the even bins of a window of that length, for which
  half a window is a whole number of periods: so a row of equal amplitudes is
  one steady tone.
  """
  offset = np.arange(length) - length // 2
  wave = np.cos(2 * np.pi * bins[:, None] * offset[None] / length)
  return (spectral.hann_window(length)[None] * wave).astype(np.float32)


def tone_levels(
  hops_BFT: jax.Array, config: config_lib.SoundStreamConfig
) -> jax.Array:
  """Levels of each short tone in a sound.

  Args:
    hops_BFT: (batch, frames, hop).
    config: sizes.

  Returns:
    (batch, frames, slots, tones), log amplitudes from 0 (silence) to about 1.
  """
  batch, frames, hop = hops_BFT.shape
  length = config.window // 2
  spectrum = spectral.short_time_spectrum(
    hops_BFT.reshape(batch * frames, hop), length, length // 2
  )[..., tone_bins(config)]
  amplitude = spectral.magnitude(spectrum) * (4.0 / length)
  levels = jnp.log1p(_LEVEL_SCALE * amplitude) / np.log1p(_LEVEL_SCALE)
  return levels.reshape(batch, frames, *levels.shape[1:])


def _steps_of_slots(config: config_lib.SoundStreamConfig) -> np.ndarray:
  """The envelope step that each slot falls into, int (slots,)."""
  slots = tone_slots(config.hop, config.window // 2)
  return np.arange(slots) * config.envelope_steps // slots


def envelope(
  levels_BFSN: jax.Array, config: config_lib.SoundStreamConfig
) -> jax.Array:
  """Loudness over time: the loudest tone's level, (batch, frames, steps)."""
  steps = _steps_of_slots(config)
  member = steps[:, None] == np.arange(config.envelope_steps)[None]
  mean = member / np.maximum(member.sum(0, keepdims=True), 1)
  return jnp.max(levels_BFSN, axis=-1) @ mean.astype(np.float32)


def sound_tones(
  levels_BFSN: jax.Array, config: config_lib.SoundStreamConfig
) -> jax.Array:
  """Inverse of `tone_levels` except for the phases: (batch, frames, hop)."""
  levels_BFSN = jnp.clip(levels_BFSN, 0.0, 1.0)
  amplitude = jnp.expm1(levels_BFSN * np.log1p(_LEVEL_SCALE)) / _LEVEL_SCALE
  pieces = amplitude @ tones(tone_bins(config), config.window // 2)
  # Each piece's second half overlaps the next one's first.
  first, second = jnp.split(pieces, 2, axis=-1)
  empty = jnp.zeros_like(first[:, :, :1])
  halves = jnp.concatenate((first, empty), axis=2) + jnp.concatenate(
    (empty, second), axis=2
  )
  sound = halves.reshape(*halves.shape[:2], -1)
  return jnp.pad(sound, ((0, 0), (0, 0), (0, config.hop - sound.shape[-1])))


class Decoder(nn.Module):
  """Maps latents to a waveform, as a sum of two parts.

  The coherent part is samples directly from the network: right for sound that
  repeats with the hop, silent about other sound, such as a click that may come
  at any time. Above the crossover, where the ear perceives envelopes and not
  phases, the levels of short tones of fixed phase give the rest.

  Attributes:
    config: sizes.
  """

  config: config_lib.SoundStreamConfig

  @nn.compact
  def __call__(self, latents_BFD: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Decodes.

    Args:
      latents_BFD: (batch, frames, latent_width).

    Returns:
      The coherent part (batch, frames, hop), and the levels of short tones
      (batch, frames, slots, tones).
    """
    config = self.config
    length = config.window // 2
    slots = tone_slots(config.hop, length)
    x_BFD = nn.gelu(_dense(config.hidden_width, 'input')(latents_BFD))
    y_BFD = causal_conv1d.CausalConv1D(
      config.hidden_width, config.decoder_context, name='context'
    )(_normalise(x_BFD))
    x_BFD = _normalise(x_BFD + nn.gelu(y_BFD))
    x_BFD = x_BFD + nn.gelu(_dense(config.hidden_width, 'middle')(x_BFD))
    # Sound is silence at first: a start near zero.
    coherent_BFT = _dense(config.hop, 'samples', 0.01)(x_BFD)
    num_tones = len(tone_bins(config))
    # The envelope at each slot times a spectrum, plus the remainder.
    steps_BFD = latents_BFD[..., -config.envelope_steps :] / _ENVELOPE_SCALE
    loudness_BFS = steps_BFD[..., _steps_of_slots(config)]
    shape_BFN = nn.sigmoid(_dense(num_tones, 'spectrum', 0.1)(x_BFD) - 1.0)
    rest = _dense(slots * num_tones, 'levels', 0.001)(x_BFD)
    levels = loudness_BFS[..., None] * shape_BFN[:, :, None, :]
    return coherent_BFT, levels + rest.reshape(levels.shape)
