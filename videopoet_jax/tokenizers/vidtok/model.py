"""VidTok's causal encoder and decoder (arXiv 2412.13061, section 3).

Space and time have residual blocks of their own; both are convolved together
only where a clip enters, where it leaves and at latent resolution. Norms and
attention stay within a frame. Names of parts are those of the published
checkpoints, see `published.layout`.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.tokenizers.published import layers
from videopoet_jax.tokenizers.published import scalar_levels
from videopoet_jax.tokenizers.vidtok import config as config_lib

_KERNELS = {'THW': (3, 3, 3), 'HW': (1, 3, 3), 'T': (3, 1, 1)}


def _norm(name: str) -> layers.LayerNorm:
  return layers.LayerNorm(name=f'{name}__norm')


def _convolution(
  config: config_lib.VidTokConfig,
  features: int,
  name: str,
  axes: str = 'THW',
  kernel_size: layers.Sizes | None = None,
  strides: layers.Sizes = (1, 1, 1),
) -> layers.Convolution:
  return layers.Convolution(
    features,
    kernel_size or _KERNELS[axes],
    strides,
    axes=axes,
    repeat_first=config.repeat_first,
    # Their causal convolutions wrap one of PyTorch's.
    name=name if axes == 'HW' else f'{name}__conv',
  )


class Residual(nn.Module):
  """Twice norm, swish, convolution.

  Attributes:
    config: sizes.
    features: channels out; a linear shortcut where they change.
    axes: axes of the convolutions, one of `layers.AXES`.
  """

  config: config_lib.VidTokConfig
  features: int
  axes: str

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps (..., channels in) to (..., features)."""
    hidden = video_BTHWC
    for index in (1, 2):
      hidden = nn.swish(_norm(f'norm{index}')(hidden))
      hidden = _convolution(
        self.config, self.features, f'conv{index}', self.axes
      )(hidden)
    if video_BTHWC.shape[-1] != self.features:
      video_BTHWC = _convolution(
        self.config, self.features, 'nin_shortcut', self.axes, (1, 1, 1)
      )(video_BTHWC)
    return video_BTHWC + hidden


class Attention(nn.Module):
  """Attention among the places of each frame, with one head."""

  config: config_lib.VidTokConfig

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Attends; keeps the shape."""

    def linear(name: str) -> layers.Convolution:
      channels = video_BTHWC.shape[-1]
      return _convolution(self.config, channels, name, 'THW', (1, 1, 1))

    normal = _norm('norm')(video_BTHWC)
    attended = layers.attend_in_frames(
      linear('q')(normal), linear('k')(normal), linear('v')(normal)
    )
    return video_BTHWC + linear('proj_out')(attended)


class Middle(nn.Module):
  """The blocks at latent resolution."""

  config: config_lib.VidTokConfig

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Transforms; keeps the shape."""
    features = video_BTHWC.shape[-1]
    hidden = Residual(self.config, features, 'THW', name='block_1')(video_BTHWC)
    hidden = Attention(self.config, name='attn_1')(hidden)
    return Residual(self.config, features, 'THW', name='block_2')(hidden)


def _mixed(
  module: nn.Module, plain: jax.Array, convolved: jax.Array
) -> jax.Array:
  """Mixes two versions by a learned share."""
  factor = module.param(
    'mix_factor', nn.initializers.constant(2.0), (1,), jnp.float32
  )
  share = nn.sigmoid(factor).reshape(1, 1, 1, 1, 1)
  return share * plain + (1 - share) * convolved


class HalveTime(nn.Module):
  """Halves the number of frames, which must be even."""

  config: config_lib.VidTokConfig

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Returns half as many frames."""
    padded = layers.pad_time(video_BTHWC, 1, self.config.repeat_first)
    mean = (padded[:, :-2:2] + padded[:, 1:-1:2] + padded[:, 2::2]) / 3
    convolved = _convolution(
      self.config, video_BTHWC.shape[-1], 'conv', strides=(2, 1, 1)
    )(video_BTHWC)
    return _mixed(self, mean, convolved)


def _interpolate(video_BTHWC: jax.Array) -> jax.Array:
  """Doubles frames linearly; those at both ends are constant."""
  if not video_BTHWC.shape[1]:
    return video_BTHWC
  before = jnp.concatenate((video_BTHWC[:, :1], video_BTHWC[:, :-1]), axis=1)
  after = jnp.concatenate((video_BTHWC[:, 1:], video_BTHWC[:, -1:]), axis=1)
  pairs = jnp.stack(
    (
      0.25 * before + 0.75 * video_BTHWC,
      0.75 * video_BTHWC + 0.25 * after,
    ),
    axis=2,
  )
  batch, frames, _, *rest = pairs.shape
  return pairs.reshape(batch, frames * 2, *rest)


class DoubleTime(nn.Module):
  """Doubles the number of frames.

  Attributes:
    config: sizes.
    first_frames: frames that the first latent frame has become so far; version
      1.1 interpolates them apart from the others, so that a clip in parts is
      decoded as a whole one.
  """

  config: config_lib.VidTokConfig
  first_frames: int

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Returns twice as many frames."""
    if self.config.version == '1.0':
      doubled = jnp.repeat(video_BTHWC, 2, axis=1)
    else:
      doubled = jnp.concatenate(
        (
          _interpolate(video_BTHWC[:, : self.first_frames]),
          _interpolate(video_BTHWC[:, self.first_frames :]),
        ),
        axis=1,
      )
    convolved = _convolution(self.config, video_BTHWC.shape[-1], 'conv')(
      doubled
    )
    return _mixed(self, doubled, convolved)


class Encoder(nn.Module):
  """Maps clips to latents.

  Attributes:
    config: sizes.
  """

  config: config_lib.VidTokConfig

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps 1 + stride * k frames to (batch, 1 + k, h, w, dimensions)."""
    config = self.config
    # The first frame fills a whole latent frame.
    stride = config.spec.temporal_stride
    hidden = layers.pad_time(video_BTHWC, stride - 1, repeat=True)
    hidden = _convolution(config, config.channels, 'conv_in')(hidden)
    last = len(config.channel_multipliers) - 1
    for level, multiplier in enumerate(config.channel_multipliers):
      features = config.channels * multiplier
      space, time = f'down__{level}', f'down_temporal__{level}'
      for block in range(config.num_residual_blocks):
        name = f'block__{block}'
        hidden = Residual(config, features, 'HW', name=f'{space}__{name}')(
          hidden
        )
        hidden = Residual(config, features, 'T', name=f'{time}__{name}')(hidden)
      if level == last:
        continue
      hidden = _convolution(
        config, features, f'{space}__downsample__conv', 'HW', strides=(1, 2, 2)
      )(hidden)
      if level in config.down_levels:
        hidden = HalveTime(config, name=f'{time}__downsample')(hidden)
    hidden = Middle(config, name='mid')(hidden)
    hidden = nn.swish(_norm('norm_out')(hidden))
    return _convolution(config, len(config.levels), 'conv_out')(hidden)


class Decoder(nn.Module):
  """Maps codes to clips.

  Attributes:
    config: sizes.
  """

  config: config_lib.VidTokConfig

  @nn.compact
  def __call__(self, codes_BTHWC: jax.Array) -> jax.Array:
    """Maps (batch, 1 + k, h, w, dimensions) to 1 + stride * k frames."""
    config = self.config
    last = len(config.channel_multipliers) - 1
    features = config.channels * config.channel_multipliers[last]
    hidden = _convolution(config, features, 'conv_in')(codes_BTHWC)
    hidden = Middle(config, name='mid')(hidden)
    first_frames = 1
    for level in reversed(range(last + 1)):
      features = config.channels * config.channel_multipliers[level]
      space, time = f'up__{level}', f'up_temporal__{level}'
      for block in range(config.num_residual_blocks + 1):
        name = f'block__{block}'
        hidden = Residual(config, features, 'HW', name=f'{space}__{name}')(
          hidden
        )
        hidden = Residual(config, features, 'T', name=f'{time}__{name}')(hidden)
      if not level:
        continue
      hidden = layers.upsample_space(hidden)
      hidden = _convolution(config, features, f'{space}__upsample__conv', 'HW')(
        hidden
      )
      if level in config.up_levels:
        hidden = DoubleTime(config, first_frames, name=f'{time}__upsample')(
          hidden
        )
        first_frames *= 2
    hidden = nn.swish(_norm('norm_out')(hidden))
    hidden = _convolution(config, 3, 'conv_out')(hidden)
    # The first latent frame holds one frame, which was repeated.
    return hidden[:, config.spec.temporal_stride - 1 :]


class VidTokModel(nn.Module):
  """VidTok: video to ids and back.

  Attributes:
    config: sizes.
  """

  config: config_lib.VidTokConfig

  def setup(self) -> None:
    """Builds the parts."""
    self.encoder = Encoder(self.config)
    self.decoder = Decoder(self.config)

  def latents(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps float video in [-1, 1] to float32 latents before quantization."""
    return self.encoder(video_BTHWC)

  def encode(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps float video in [-1, 1] to int32 ids (batch, t, h, w)."""
    return scalar_levels.latents_to_ids(
      self.latents(video_BTHWC), self.config.levels
    )

  def decode(self, ids_BTHW: jax.Array) -> jax.Array:
    """Maps ids to float32 video, clipped to [-1, 1]."""
    codes = scalar_levels.ids_to_codes(ids_BTHW, self.config.levels)
    return jnp.clip(self.decoder(codes), -1.0, 1.0)

  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Encodes and decodes; for the shapes of parameters."""
    return self.decode(self.encode(video_BTHWC))
