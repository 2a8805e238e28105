"""Parts of encoders and decoders: norms, residual blocks, folding.

Only the causal convolutions mix information along time: the statistics of every
norm are computed within one frame (or one vector); otherwise a later frame
would change an earlier one's ids.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.layers import causal_conv
from videopoet_jax.layers import frame_norm
from videopoet_jax.layers import partitioning
from videopoet_jax.parallel import manual

_VIDEO_AXES = (
  'activation_batch', None, 'activation_height', 'activation_width', None,
)  # fmt: skip


def constrain_video(video_BTHWC: jax.Array) -> jax.Array:
  """States how devices share a video; does nothing without a mesh.

  The batch is split, and with mesh axes for them, height and width. The
  compiler then exchanges the edges that convolutions need, and sums the
  statistics of norms over the devices. Sizes that mesh axes do not divide stay
  whole.
  """
  return partitioning.constrain(video_BTHWC, _VIDEO_AXES)


def _is_split_in_space() -> bool:
  return any(manual.parts(str(axis)) > 1 for axis in _VIDEO_AXES[2:4])


def _channel_vector(
  module: nn.Module, name: str, init: Any, num_channels: int
) -> jax.Array:
  """Declares one value a channel, shaped to broadcast over BTHW."""
  vector = module.param(
    name,
    nn.with_logical_partitioning(init, ('conv_out',)),
    (num_channels,),
    jnp.float32,
  )
  return vector.reshape(1, 1, 1, 1, -1)


class FrameGroupNorm(nn.Module):
  """Group normalization with the statistics of one frame.

  Attributes:
    num_groups: groups of channels.
    swish: whether the activation follows, computed with the norm.
  """

  num_groups: int
  swish: bool = False

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Normalizes; keeps the shape."""
    channels = video_BTHWC.shape[-1]
    scale = _channel_vector(self, 'scale', nn.initializers.ones, channels)
    shift = _channel_vector(self, 'bias', nn.initializers.zeros, channels)
    if self.swish:
      return frame_norm.normalize_and_swish(
        video_BTHWC, scale.reshape(-1), shift.reshape(-1), self.num_groups
      )
    normal = frame_norm.normalize_groups(video_BTHWC, self.num_groups)
    return (normal * scale + shift).astype(video_BTHWC.dtype)


class AdaptiveFrameGroupNorm(nn.Module):
  """Group normalization, scaled and shifted by the quantized latents.

  Attributes:
    num_groups: groups of channels.
  """

  num_groups: int

  @nn.compact
  def __call__(
    self, video_BTHWC: jax.Array, codes_BTHWC: jax.Array
  ) -> jax.Array:
    """Applies it.

    Args:
      video_BTHWC: activations to normalize.
      codes_BTHWC: the codes at the same frames, height and width.
    """
    channels = video_BTHWC.shape[-1]
    normal = frame_norm.normalize_groups(video_BTHWC, self.num_groups)
    scale = Dense(channels, kernel_init=nn.initializers.zeros, name='scale')(
      codes_BTHWC
    )
    shift = Dense(channels, kernel_init=nn.initializers.zeros, name='shift')(
      codes_BTHWC
    )
    return (normal * (1.0 + scale) + shift).astype(video_BTHWC.dtype)


class ChannelRMSNorm(nn.Module):
  """Divides each vector of channels by its root mean square."""

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Normalizes; keeps the shape."""
    scale = _channel_vector(
      self, 'scale', nn.initializers.ones, video_BTHWC.shape[-1]
    )
    wide = video_BTHWC.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    return (wide * jax.lax.rsqrt(mean_square + 1e-6) * scale).astype(
      video_BTHWC.dtype
    )


class Dense(nn.Module):
  """One linear map at every position: a 1x1x1 convolution.

  Attributes:
    features: channels out.
    kernel_init: initializer of the (channels in, channels out) kernel.
  """

  features: int
  kernel_init: Any = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps (..., channels in) to (..., features)."""
    kernel = self.param(
      'kernel',
      nn.with_logical_partitioning(self.kernel_init, ('conv_in', 'conv_out')),
      (video_BTHWC.shape[-1], self.features),
      jnp.float32,
    )
    bias = _channel_vector(self, 'bias', nn.initializers.zeros, self.features)
    dtype = video_BTHWC.dtype
    kernel = kernel.astype(dtype)
    if _is_split_in_space():
      # Flat, all positions would have to be on every device.
      out_BTHWC = jnp.einsum('bthwc,cd->bthwd', video_BTHWC, kernel)
      return out_BTHWC + bias.astype(dtype)
    # With five axes XLA makes copies on a CPU: 5 to 7 % of a train step.
    flat_NC = video_BTHWC.reshape(-1, video_BTHWC.shape[-1])
    out_BTHWC = (flat_NC @ kernel).reshape(
      *video_BTHWC.shape[:-1], self.features
    )
    return out_BTHWC + bias.astype(dtype)


class ConvResidual(nn.Module):
  """The paper's residual block: twice norm, swish, causal 3x3x3 convolution.

  Attributes:
    features: channels out; a linear shortcut where they change.
    num_groups: groups of the group norms.
    convolution: implementation, see `layers.causal_conv`.
    temporal_kernel: taps over time.
  """

  features: int
  num_groups: int
  convolution: str = 'auto'
  temporal_kernel: int = 3

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps (..., channels in) to (..., features)."""
    hidden = video_BTHWC
    for index in range(2):
      hidden = FrameGroupNorm(
        self.num_groups, swish=True, name=f'norm_{index}'
      )(hidden)
      hidden = causal_conv.CausalConv3D(
        self.features,
        (self.temporal_kernel, 3, 3),
        implementation=self.convolution,
        dtype=video_BTHWC.dtype,
        name=f'conv_{index}',
      )(hidden)
    if video_BTHWC.shape[-1] != self.features:
      video_BTHWC = Dense(self.features, name='shortcut')(video_BTHWC)
    return constrain_video(video_BTHWC + hidden)


class LightResidual(nn.Module):
  """A pre-norm residual block: RMS norm, convolution, swish, convolution.

  Attributes:
    kernel_size: (1, 3, 3) stays within a frame, (3, 3, 3) looks back in time.
    convolution: implementation, see `layers.causal_conv`.
  """

  kernel_size: tuple[int, int, int]
  convolution: str = 'auto'

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Transforms; keeps the shape."""
    channels = video_BTHWC.shape[-1]
    hidden = ChannelRMSNorm(name='norm')(video_BTHWC)
    for index in range(2):
      hidden = causal_conv.CausalConv3D(
        channels,
        self.kernel_size,
        implementation=self.convolution,
        dtype=video_BTHWC.dtype,
        name=f'conv_{index}',
      )(hidden if index == 0 else nn.swish(hidden))
    return constrain_video(video_BTHWC + hidden)


def fold_space(video_BTHWC: jax.Array, size: int) -> jax.Array:
  """Moves squares of `size` x `size` positions into the channels.

  Args:
    video_BTHWC: height and width must be multiples of `size`.
    size: factor by which height and width shrink.

  Returns:
    (batch, frames, height / size, width / size, size * size * channels).
  """
  batch, frames, height, width, channels = video_BTHWC.shape
  split = video_BTHWC.reshape(
    batch, frames, height // size, size, width // size, size, channels
  )
  folded = split.transpose(0, 1, 2, 4, 3, 5, 6).reshape(
    batch, frames, height // size, width // size, size * size * channels
  )
  return constrain_video(folded)


def unfold_space(video_BTHWC: jax.Array, size: int) -> jax.Array:
  """Moves channels out into squares of positions; inverse of `fold_space`."""
  batch, frames, height, width, channels = video_BTHWC.shape
  inner = channels // (size * size)
  split = video_BTHWC.reshape(batch, frames, height, width, size, size, inner)
  unfolded = split.transpose(0, 1, 2, 4, 3, 5, 6).reshape(
    batch, frames, height * size, width * size, inner
  )
  return constrain_video(unfolded)


def fold_time(
  video_BTHWC: jax.Array, size: int, first: bool = True
) -> jax.Array:
  """Moves groups of frames into the channels, the first frame alone.

  The first frame is repeated to fill a group of its own: 1 + size * k frames
  become 1 + k.

  Args:
    video_BTHWC: 1 + size * k frames; size * k in a later chunk of a clip.
    size: frames a group.
    first: whether the video begins with the clip's first frame.

  Returns:
    (batch, 1 + k, height, width, size * channels); k frames in a later chunk.
  """
  _, frames, height, width, channels = video_BTHWC.shape
  groups = frames // size
  if first:
    groups = (frames - 1) // size + 1
    repeated = jnp.repeat(video_BTHWC[:, :1], size - 1, axis=1)
    video_BTHWC = jnp.concatenate((repeated, video_BTHWC), axis=1)
  padded = video_BTHWC.reshape(-1, groups, size, height, width, channels)
  return padded.transpose(0, 1, 3, 4, 2, 5).reshape(
    -1, groups, height, width, size * channels
  )


def unfold_time(
  video_BTHWC: jax.Array, size: int, first: bool = True
) -> jax.Array:
  """Moves channels out into frames; of the first group only the last stays.

  Args:
    video_BTHWC: (batch, groups, height, width, size * channels).
    size: frames a group.
    first: whether the video begins with the clip's first group; if not, every
      frame stays.

  Returns:
    (batch, 1 + (groups - 1) * size, height, width, channels); groups * size
    frames in a later chunk.
  """
  batch, groups, height, width, channels = video_BTHWC.shape
  inner = channels // size
  split = video_BTHWC.reshape(batch, groups, height, width, size, inner)
  frames = split.transpose(0, 1, 4, 2, 3, 5).reshape(
    batch, groups * size, height, width, inner
  )
  return frames[:, size - 1 :] if first else frames


def repeat_codes(
  codes_BTHWC: jax.Array,
  time_factor: int,
  space_factor: int,
  first: bool = True,
) -> jax.Array:
  """Repeats codes to a finer resolution, the first frame only in space.

  Args:
    codes_BTHWC: codes at latent resolution.
    time_factor: t latent frames become 1 + (t - 1) * time_factor, or
      t * time_factor in a later chunk.
    space_factor: factor by which height and width grow.
    first: whether the codes begin with the clip's first frame.
  """
  for axis, factor in ((1, time_factor), (2, space_factor), (3, space_factor)):
    if factor > 1:
      codes_BTHWC = jnp.repeat(codes_BTHWC, factor, axis=axis)
  codes_BTHWC = codes_BTHWC[:, time_factor - 1 :] if first else codes_BTHWC
  return constrain_video(codes_BTHWC)
