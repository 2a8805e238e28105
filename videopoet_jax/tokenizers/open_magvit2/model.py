"""Open-MAGVIT2's encoder and decoder (arXiv 2409.04410, section 3.1).

The image tokenizer sees each frame of a clip for itself. The video tokenizer
pads time with zeros before a clip, but its norms and the style of its decoder
take statistics over the whole clip. Names of parts are those of the published
checkpoints, see `published.layout`.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.tokenizers.open_magvit2 import config as config_lib
from videopoet_jax.tokenizers.published import layers
from videopoet_jax.tokenizers.quantizers import lfq

_EPSILON = 1e-6


def _norm(
  config: config_lib.OpenMagvit2Config, name: str, affine: bool = True
) -> layers.GroupNorm:
  return layers.GroupNorm(
    config_lib.GROUPS,
    over_time=config.video,
    affine=affine,
    epsilon=_EPSILON,
    name=name,
  )


def _convolution(
  config: config_lib.OpenMagvit2Config,
  features: int,
  name: str,
  taps: int = 3,
  strides: layers.Sizes = (1, 1, 1),
  use_bias: bool = True,
) -> layers.Convolution:
  return layers.Convolution(
    features,
    (taps if config.video else 1, taps, taps),
    strides,
    axes='THW' if config.video else 'HW',
    # Padding does not depend on strides: both sides in space, before in time.
    time_padding=taps - 1 if config.video else 0,
    space_padding=(taps // 2, taps // 2),
    use_bias=use_bias,
    name=f'{name}__conv_1' if config.video else name,
  )


class Residual(nn.Module):
  """Twice norm, swish, convolution without a bias.

  Attributes:
    config: sizes.
    features: channels out; a linear shortcut where they change.
  """

  config: config_lib.OpenMagvit2Config
  features: int

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps (..., channels in) to (..., features)."""
    hidden = video_BTHWC
    for index in (1, 2):
      hidden = nn.swish(_norm(self.config, f'norm{index}')(hidden))
      hidden = _convolution(
        self.config, self.features, f'conv{index}', use_bias=False
      )(hidden)
    if video_BTHWC.shape[-1] != self.features:
      video_BTHWC = _convolution(
        self.config, self.features, 'nin_shortcut', taps=1, use_bias=False
      )(video_BTHWC)
    return video_BTHWC + hidden


class AdaptiveGroupNorm(nn.Module):
  """Group normalization, scaled and shifted by statistics of the codes.

  Attributes:
    config: sizes.
  """

  config: config_lib.OpenMagvit2Config

  @nn.compact
  def __call__(
    self, video_BTHWC: jax.Array, codes_BTHWC: jax.Array
  ) -> jax.Array:
    """Applies it.

    Args:
      video_BTHWC: activations to normalize.
      codes_BTHWC: the codes of the clip, at latent resolution.
    """
    axes = (1, 2, 3) if self.config.video else (2, 3)
    channels = video_BTHWC.shape[-1]
    normal = _norm(self.config, 'gn', affine=False)(video_BTHWC)
    variance = jnp.var(codes_BTHWC, axis=axes, keepdims=True, ddof=1)
    deviation = jnp.sqrt(variance + _EPSILON)
    mean = jnp.mean(codes_BTHWC, axis=axes, keepdims=True)
    scale = layers.Linear(channels, name='gamma')(deviation)
    return normal * scale + layers.Linear(channels, name='beta')(mean)


def _to_space(video_BTHWC: jax.Array, time: int) -> jax.Array:
  """Moves channels, which have (time, 2, 2) outermost, into positions."""
  batch, frames, height, width, channels = video_BTHWC.shape
  inner = channels // (4 * time)
  split = video_BTHWC.reshape(
    batch, frames, height, width, time, 2, 2, inner
  ).transpose(0, 1, 4, 2, 5, 3, 6, 7)
  return split.reshape(batch, frames * time, height * 2, width * 2, inner)


class Encoder(nn.Module):
  """Maps clips to latents.

  Attributes:
    config: sizes.
  """

  config: config_lib.OpenMagvit2Config

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps (batch, frames, height, width, 3) to (batch, t, h, w, num_bits)."""
    config = self.config
    hidden = _convolution(config, config.channels, 'conv_in', use_bias=False)(
      video_BTHWC
    )
    last = len(config.channel_multipliers) - 1
    features = 0
    for level, multiplier in enumerate(config.channel_multipliers):
      features = config.channels * multiplier
      for block in range(config.num_residual_blocks):
        name = f'down__{level}__block__{block}'
        hidden = Residual(config, features, name=name)(hidden)
      if level < last:
        strides = (2 if config.halves_time(level) else 1, 2, 2)
        hidden = _convolution(
          config, features, f'down__{level}__downsample', strides=strides
        )(hidden)
    for block in range(config.num_residual_blocks):
      hidden = Residual(config, features, name=f'mid_block__{block}')(hidden)
    hidden = nn.swish(_norm(config, 'norm_out')(hidden))
    return _convolution(config, config.num_bits, 'conv_out', taps=1)(hidden)


class Decoder(nn.Module):
  """Maps codes to clips.

  Attributes:
    config: sizes.
  """

  config: config_lib.OpenMagvit2Config

  @nn.compact
  def __call__(self, codes_BTHWC: jax.Array) -> jax.Array:
    """Maps (batch, t, h, w, num_bits) to (batch, frames, height, width, 3)."""
    config = self.config
    features = config.channels * config.channel_multipliers[-1]
    hidden = _convolution(config, features, 'conv_in')(codes_BTHWC)
    for block in range(config.num_residual_blocks):
      hidden = Residual(config, features, name=f'mid_block__{block}')(hidden)
    for level in reversed(range(len(config.channel_multipliers))):
      features = config.channels * config.channel_multipliers[level]
      hidden = AdaptiveGroupNorm(config, name=f'adaptive__{level}')(
        hidden, codes_BTHWC
      )
      for block in range(config.num_residual_blocks):
        name = f'up__{level}__block__{block}'
        hidden = Residual(config, features, name=name)(hidden)
      if not level:
        continue
      time = 2 if config.halves_time(level - 1) else 1
      hidden = _to_space(
        _convolution(
          config, features * 4 * time, f'up__{level}__upsample__conv1'
        )(hidden),
        time,
      )
      if time > 1:
        # The first latent frame becomes one frame.
        hidden = jnp.concatenate((hidden[:, :1], hidden[:, 2:]), axis=1)
    hidden = nn.swish(_norm(config, 'norm_out')(hidden))
    return _convolution(config, 3, 'conv_out')(hidden)


class OpenMagvit2Model(nn.Module):
  """Open-MAGVIT2: video to ids and back.

  Attributes:
    config: sizes.
  """

  config: config_lib.OpenMagvit2Config

  def setup(self) -> None:
    """Builds the parts."""
    self.encoder = Encoder(self.config)
    self.decoder = Decoder(self.config)

  def latents(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps float video in [-1, 1] to float32 latents before quantization."""
    return self.encoder(video_BTHWC)

  def encode(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps float video in [-1, 1] to int32 ids (batch, t, h, w)."""
    return lfq.latents_to_ids(self.latents(video_BTHWC))

  def decode_codes(self, codes_BTHWC: jax.Array) -> jax.Array:
    """Maps codes to float32 video, clipped to [-1, 1]."""
    return jnp.clip(self.decoder(codes_BTHWC), -1.0, 1.0)

  def decode(self, ids_BTHW: jax.Array) -> jax.Array:
    """Maps ids to float32 video, clipped to [-1, 1]."""
    return self.decode_codes(lfq.ids_to_codes(ids_BTHW, self.config.num_bits))

  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Encodes and decodes; for the shapes of parameters."""
    return self.decode(self.encode(video_BTHWC))
