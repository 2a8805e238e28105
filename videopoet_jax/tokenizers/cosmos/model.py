"""Cosmos' causal encoder and decoder of discrete video (arXiv 2501.03575).

A clip is folded by a wavelet transform, then each convolution is split into one
over space and one over time, which repeats the first frame before the clip.
Attention is over the places of a frame and, causally, over time. Names of parts
are those of the published checkpoints, see `published.layout`.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.tokenizers.cosmos import config as config_lib
from videopoet_jax.tokenizers.published import layers
from videopoet_jax.tokenizers.published import scalar_levels

_SPACE, _TIME, _POINT = (1, 3, 3), (3, 1, 1), (1, 1, 1)
# Axes of time, height and width.
_AXES = (1, 2, 3)


def fold(video_BTHWC: jax.Array, patch_size: int) -> jax.Array:
  """Haar wavelet transform of patches; the first frame fills a patch.

  Args:
    video_BTHWC: 1 + patch_size * k frames.
    patch_size: a power of 2.

  Returns:
    (batch, 1 + k, height / patch_size, width / patch_size, patch_size ** 3 *
    channels); each halving averages sums and differences of two neighbours
    along each axis.
  """
  folded = layers.pad_time(video_BTHWC, patch_size - 1, repeat=True)
  for _ in range(patch_size.bit_length() - 1):
    parts = [folded]
    for axis in _AXES:
      parts = [
        half for part in parts for half in _sum_and_difference(part, axis)
      ]
    folded = jnp.concatenate(parts, axis=-1) / 8
  return folded


def _sum_and_difference(
  signal: jax.Array, axis: int
) -> tuple[jax.Array, jax.Array]:
  first = jax.lax.slice_in_dim(signal, 0, None, 2, axis)
  second = jax.lax.slice_in_dim(signal, 1, None, 2, axis)
  return first + second, first - second


def unfold(folded_BTHWC: jax.Array, patch_size: int) -> jax.Array:
  """Inverse of `fold`."""
  video = folded_BTHWC
  for _ in range(patch_size.bit_length() - 1):
    parts = jnp.split(video, 8, axis=-1)
    for axis in reversed(_AXES):
      parts = [
        _interleave(total, difference, axis)
        for total, difference in zip(parts[::2], parts[1::2], strict=True)
      ]
    video = parts[0]
  return video[:, patch_size - 1 :]


def _interleave(
  total: jax.Array, difference: jax.Array, axis: int
) -> jax.Array:
  pairs = jnp.stack((total + difference, total - difference), axis=axis + 1)
  shape = list(total.shape)
  shape[axis] *= 2
  return pairs.reshape(shape)


def _convolution(
  features: int,
  kernel_size: layers.Sizes,
  name: str,
  strides: layers.Sizes = (1, 1, 1),
) -> layers.Convolution:
  return layers.Convolution(
    features,
    kernel_size,
    strides,
    repeat_first=True,
    name=f'{name}__conv3d',
  )


def _split(video_BTHWC: jax.Array, features: int, name: str) -> jax.Array:
  """Convolves over space, then over time, within a compact method."""
  hidden = _convolution(features, _SPACE, f'{name}__0')(video_BTHWC)
  return _convolution(features, _TIME, f'{name}__1')(hidden)


def _norm(name: str) -> layers.GroupNorm:
  return layers.GroupNorm(1, name=f'{name}__norm')


class Residual(nn.Module):
  """Twice norm, swish, split convolution.

  Attributes:
    features: channels out; a linear shortcut where they change.
  """

  features: int

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps (..., channels in) to (..., features)."""
    hidden = video_BTHWC
    for index in (1, 2):
      hidden = nn.swish(_norm(f'norm{index}')(hidden))
      hidden = _split(hidden, self.features, f'conv{index}')
    if video_BTHWC.shape[-1] != self.features:
      video_BTHWC = _convolution(self.features, _POINT, 'nin_shortcut')(
        video_BTHWC
      )
    return video_BTHWC + hidden


class Attention(nn.Module):
  """Attention of one head.

  Attributes:
    over_time: whether it is over the frames of each place, earlier ones only;
      otherwise over the places of each frame.
  """

  over_time: bool

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Attends; keeps the shape."""
    channels = video_BTHWC.shape[-1]
    normal = _norm('norm')(video_BTHWC)
    query, key, value = (
      _convolution(channels, _POINT, name)(normal) for name in 'qkv'
    )
    if self.over_time:
      attended = _attend_over_time(query, key, value)
    else:
      attended = layers.attend_in_frames(query, key, value)
    return video_BTHWC + _convolution(channels, _POINT, 'proj_out')(attended)


def _attend_over_time(*vectors_BTHWC: jax.Array) -> jax.Array:
  batch, frames, height, width, channels = vectors_BTHWC[0].shape
  query, key, value = (
    vectors.transpose(0, 2, 3, 1, 4).reshape(-1, frames, channels)
    for vectors in vectors_BTHWC
  )
  out = layers.attend(query, key, value, causal=True)
  out = out.reshape(batch, height, width, frames, channels)
  return out.transpose(0, 3, 1, 2, 4)


class Middle(nn.Module):
  """The blocks at latent resolution."""

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Transforms; keeps the shape."""
    features = video_BTHWC.shape[-1]
    hidden = Residual(features, name='block_1')(video_BTHWC)
    hidden = Attention(over_time=False, name='attn_1__0')(hidden)
    hidden = Attention(over_time=True, name='attn_1__1')(hidden)
    return Residual(features, name='block_2')(hidden)


class Halve(nn.Module):
  """Halves time, space or both: a mean and a convolution, added.

  Attributes:
    time: whether 1 + 2 k frames become 1 + k.
    space: whether height and width are halved.
  """

  time: bool
  space: bool

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Returns a coarser clip with as many channels."""
    features, hidden = video_BTHWC.shape[-1], video_BTHWC
    if self.space:
      rows = hidden[:, :, ::2] + hidden[:, :, 1::2]
      mean = (rows[:, :, :, ::2] + rows[:, :, :, 1::2]) / 4
      strides = (1, 2, 2)
      hidden = mean + _convolution(features, _SPACE, 'conv1', strides)(hidden)
    if self.time:
      padded = layers.pad_time(hidden, 1, repeat=True)
      mean = (padded[:, ::2] + padded[:, 1::2]) / 2
      strides = (2, 1, 1)
      hidden = mean + _convolution(features, _TIME, 'conv2', strides)(padded)
    return _convolution(features, _POINT, 'conv3')(hidden)


class Double(nn.Module):
  """Doubles time, space or both: repetition and a convolution, added.

  Attributes:
    time: whether 1 + k frames become 1 + 2 k.
    space: whether height and width are doubled.
  """

  time: bool
  space: bool

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Returns a finer clip with as many channels."""
    features, hidden = video_BTHWC.shape[-1], video_BTHWC
    if self.time:
      hidden = jnp.repeat(hidden, 2, axis=1)[:, 1:]
      hidden = hidden + _convolution(features, _TIME, 'conv1')(hidden)
    if self.space:
      hidden = layers.upsample_space(hidden)
      hidden = hidden + _convolution(features, _SPACE, 'conv2')(hidden)
    return _convolution(features, _POINT, 'conv3')(hidden)


class Encoder(nn.Module):
  """Maps clips to channels at latent resolution.

  Attributes:
    config: sizes.
  """

  config: config_lib.CosmosConfig

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps 1 + stride * k frames to (batch, 1 + k, h, w, latent_channels)."""
    config = self.config
    hidden = fold(video_BTHWC, config.patch_size)
    hidden = _split(hidden, config.channels, 'conv_in')
    last = len(config.channel_multipliers) - 1
    for level, multiplier in enumerate(config.channel_multipliers):
      for block in range(config.num_residual_blocks):
        name = f'down__{level}__block__{block}'
        hidden = Residual(config.channels * multiplier, name=name)(hidden)
      if level < last and any(config.halves(level)):
        name = f'down__{level}__downsample'
        hidden = Halve(*config.halves(level), name=name)(hidden)
    hidden = Middle(name='mid')(hidden)
    hidden = nn.swish(_norm('norm_out')(hidden))
    return _split(hidden, config.latent_channels, 'conv_out')


class Decoder(nn.Module):
  """Maps channels at latent resolution to clips.

  Attributes:
    config: sizes.
  """

  config: config_lib.CosmosConfig

  @nn.compact
  def __call__(self, latents_BTHWC: jax.Array) -> jax.Array:
    """Maps (batch, 1 + k, h, w, latent_channels) to 1 + stride * k frames."""
    config = self.config
    features = config.channels * config.channel_multipliers[-1]
    hidden = _split(latents_BTHWC, features, 'conv_in')
    hidden = Middle(name='mid')(hidden)
    for level in reversed(range(len(config.channel_multipliers))):
      features = config.channels * config.channel_multipliers[level]
      for block in range(config.num_residual_blocks + 1):
        name = f'up__{level}__block__{block}'
        hidden = Residual(features, name=name)(hidden)
      if level and any(config.doubles(level)):
        name = f'up__{level}__upsample'
        hidden = Double(*config.doubles(level), name=name)(hidden)
    hidden = nn.swish(_norm('norm_out')(hidden))
    hidden = _split(hidden, 3 * config.patch_size**3, 'conv_out')
    return unfold(hidden, config.patch_size)


class CosmosModel(nn.Module):
  """Cosmos DV: video to ids and back.

  Attributes:
    config: sizes.
  """

  config: config_lib.CosmosConfig

  def setup(self) -> None:
    """Builds the parts."""
    config = self.config
    self.encoder = Encoder(config)
    self.quant_conv__conv3d = layers.Convolution(
      len(config.levels), _POINT, repeat_first=True
    )
    self.post_quant_conv__conv3d = layers.Convolution(
      config.latent_channels, _POINT, repeat_first=True
    )
    self.decoder = Decoder(config)

  def latents(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps float video in [-1, 1] to float32 latents before quantization."""
    return self.quant_conv__conv3d(self.encoder(video_BTHWC))

  def encode(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps float video in [-1, 1] to int32 ids (batch, t, h, w)."""
    return scalar_levels.latents_to_ids(
      self.latents(video_BTHWC), self.config.levels
    )

  def decode(self, ids_BTHW: jax.Array) -> jax.Array:
    """Maps ids to float32 video, clipped to [-1, 1]."""
    codes = scalar_levels.ids_to_codes(ids_BTHW, self.config.levels)
    video = self.decoder(self.post_quant_conv__conv3d(codes))
    return jnp.clip(video, -1.0, 1.0)

  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Encodes and decodes; for the shapes of parameters."""
    return self.decode(self.encode(video_BTHWC))
