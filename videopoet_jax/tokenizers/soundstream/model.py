"""The audio tokenizer's network: encoder, residual quantizer, decoder."""

from __future__ import annotations

from flax import linen as nn
from flax import struct
import jax
import jax.numpy as jnp

from videopoet_jax.tokenizers.quantizers import residual
from videopoet_jax.tokenizers.soundstream import config as config_lib
from videopoet_jax.tokenizers.soundstream import convolutional
from videopoet_jax.tokenizers.soundstream import patch


@struct.dataclass
class Reconstruction:
  """The arrays that a training step compares.

  Attributes:
    target_BT: the waveform, cropped to whole hops.
    prediction_BT: output of the decoder; for 'patch', its coherent part.
    target_levels: for 'patch', levels of the short tones in what the coherent
      part leaves, (batch, frames, slots, tones); else None.
    predicted_levels: the decoder's prediction of them.
    quantized: result of the quantizer.
  """

  target_BT: jax.Array
  prediction_BT: jax.Array
  target_levels: jax.Array | None
  predicted_levels: jax.Array | None
  quantized: residual.Quantized


class SoundStream(nn.Module):
  """Maps waveforms to ids and back, in either architecture.

  Attributes:
    config: sizes.
  """

  config: config_lib.SoundStreamConfig

  def setup(self) -> None:
    room = patch if self.config.architecture == 'patch' else convolutional
    self.encoder = room.Encoder(self.config)
    self.decoder = room.Decoder(self.config)
    self.quantizer = residual.ResidualVectorQuantizer(self.config.quantizer)

  def crop(self, audio_BT: jax.Array) -> jax.Array:
    """Drops the samples after the last whole hop."""
    hop = self.config.hop
    return audio_BT[:, : audio_BT.shape[1] // hop * hop]

  def latents(self, audio_BT: jax.Array) -> jax.Array:
    """Latents before quantization, (batch, frames, latent_width)."""
    return self.encoder(self.crop(audio_BT))

  def encode(self, audio_BT: jax.Array) -> jax.Array:
    """Maps a waveform (batch, samples) to int32 ids (batch, levels, frames)."""
    return self.quantizer.encode(self.latents(audio_BT))

  def decode(self, ids_BKF: jax.Array) -> jax.Array:
    """Maps ids (batch, levels, frames) to a waveform (batch, frames * hop)."""
    config = self.config
    latents_BFD = self.quantizer.decode(ids_BKF)
    if config.architecture == 'soundstream':
      return self.decoder(latents_BFD)
    coherent_BFT, levels = self.decoder(latents_BFD)
    sound_BFT = coherent_BFT + patch.sound_tones(levels, config)
    audio_BT = sound_BFT.reshape(sound_BFT.shape[0], -1)
    return jnp.clip(audio_BT, -1.0, 1.0)

  def __call__(
    self,
    audio_BT: jax.Array,
    rng: jax.Array | None = None,
    bypass_share: jax.Array | float = 0.0,
  ) -> Reconstruction:
    """Runs a training pass.

    Args:
      audio_BT: (batch, samples) in [-1, 1].
      rng: key for quantizer dropout and the bypass; None means neither.
      bypass_share: share of the clips whose latents go to the decoder
        unquantized, for a start in which codes and latents adapt to each other.

    Returns:
      See `Reconstruction`.
    """
    target_BT = self.crop(audio_BT)
    latents_BFD = self.encoder(target_BT)
    if rng is None:
      quantized = self.quantizer(latents_BFD)
      decoded_BFD = quantized.latents_BFD
    else:
      quantizer_key, coin_key = jax.random.split(rng)
      quantized = self.quantizer(latents_BFD, quantizer_key)
      coin = jax.random.uniform(coin_key, (latents_BFD.shape[0], 1, 1))
      decoded_BFD = jnp.where(
        coin < bypass_share, latents_BFD, quantized.latents_BFD
      )
    target_levels = predicted_levels = None
    if self.config.architecture == 'soundstream':
      prediction_BT = self.decoder(decoded_BFD)
    else:
      coherent_BFT, predicted_levels = self.decoder(decoded_BFD)
      left_BFT = target_BT.reshape(coherent_BFT.shape) - jax.lax.stop_gradient(
        coherent_BFT
      )
      target_levels = patch.tone_levels(left_BFT, self.config)
      prediction_BT = coherent_BFT.reshape(target_BT.shape)
    return Reconstruction(
      target_BT=target_BT,
      prediction_BT=prediction_BT,
      target_levels=target_levels,
      predicted_levels=predicted_levels,
      quantized=quantized,
    )
