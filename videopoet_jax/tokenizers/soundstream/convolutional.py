"""SoundStream's encoder and decoder (arXiv 2107.03312, section III)."""

from __future__ import annotations

from flax import linen as nn
import jax

from videopoet_jax.layers import causal_conv1d
from videopoet_jax.tokenizers.soundstream import config as config_lib

_EDGE_KERNEL = 7
_LATENT_KERNEL = 3


class ResidualUnit(nn.Module):
  """A dilated convolution and a pointwise one, added to the input.

  Attributes:
    dilation: dilation of the first convolution.
  """

  dilation: int

  @nn.compact
  def __call__(self, x_BTC: jax.Array) -> jax.Array:
    """Maps (batch, time, channels) to the same shape."""
    channels = x_BTC.shape[-1]
    y_BTC = causal_conv1d.CausalConv1D(
      channels, _EDGE_KERNEL, dilation=self.dilation, name='dilated'
    )(nn.elu(x_BTC))
    y_BTC = causal_conv1d.CausalConv1D(channels, 1, name='pointwise')(
      nn.elu(y_BTC)
    )
    return x_BTC + y_BTC


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
      audio_BT: (batch, samples), samples a multiple of the hop.

    Returns:
      (batch, samples / hop, latent_width).
    """
    config = self.config
    x_BTC = causal_conv1d.CausalConv1D(
      config.channels, _EDGE_KERNEL, name='input'
    )(audio_BT[..., None])
    channels = config.channels
    for block, stride in enumerate(config.strides):
      for dilation in config.dilations:
        x_BTC = ResidualUnit(dilation, name=f'unit_{block}_{dilation}')(x_BTC)
      channels *= 2
      x_BTC = causal_conv1d.CausalConv1D(
        channels, 2 * stride, stride=stride, name=f'down_{block}'
      )(nn.elu(x_BTC))
    return causal_conv1d.CausalConv1D(
      config.latent_width, _LATENT_KERNEL, name='output'
    )(nn.elu(x_BTC))


class Decoder(nn.Module):
  """Maps latents to a waveform: the encoder's mirror.

  Attributes:
    config: sizes.
  """

  config: config_lib.SoundStreamConfig

  @nn.compact
  def __call__(self, latents_BFD: jax.Array) -> jax.Array:
    """Decodes.

    Args:
      latents_BFD: (batch, frames, latent_width).

    Returns:
      (batch, frames * hop) in (-1, 1).
    """
    config = self.config
    channels = config.channels * 2 ** len(config.strides)
    x_BTC = causal_conv1d.CausalConv1D(channels, _EDGE_KERNEL, name='input')(
      latents_BFD
    )
    for block, stride in enumerate(reversed(config.strides)):
      channels //= 2
      x_BTC = causal_conv1d.CausalTransposedConv1D(
        channels, 2 * stride, stride, name=f'up_{block}'
      )(nn.elu(x_BTC))
      for dilation in config.dilations:
        x_BTC = ResidualUnit(dilation, name=f'unit_{block}_{dilation}')(x_BTC)
    x_BTC = causal_conv1d.CausalConv1D(1, _EDGE_KERNEL, name='output')(
      nn.elu(x_BTC)
    )
    return nn.tanh(x_BTC[..., 0])
