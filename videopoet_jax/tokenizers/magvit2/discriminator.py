"""The discriminator of the visual tokenizer.

MAGVIT-v2 (arXiv 2310.05737, section 3.2 and appendix A): StyleGAN's residual
discriminator with 3D convolutions, and blur pooling in place of strides
(Zhang, arXiv 1904.11486). It is not causal: it judges whole clips. With
`temporal_kernel = 1` it judges frames, for the image stage.
"""

import dataclasses
import math

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.layers import causal_conv
from videopoet_jax.tokenizers.magvit2 import blocks

# The binomial filter of length 4, which keeps a constant.
_BLUR = (0.125, 0.375, 0.375, 0.125)


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
  """Sizes of a discriminator.

  Attributes:
    channels: channels at full resolution.
    channel_multipliers: channels after each halving, in units of `channels`.
    temporal_kernel: taps of convolutions over time, 3, or 1 for the image
      stage, whose discriminator compares frames.
    fold: side in pixels of the squares that are folded into channels first; 1
      keeps full resolution. 4 takes about a twentieth of the time, for CPUs.
  """

  channels: int = 64
  channel_multipliers: tuple[int, ...] = (2, 4, 4, 4, 4)
  temporal_kernel: int = 3
  fold: int = 1

  def __post_init__(self) -> None:
    object.__setattr__(
      self, 'channel_multipliers', tuple(self.channel_multipliers)
    )
    errors.check_range(self, 'channels', 'channel_multipliers', 'fold', least=1)
    if self.temporal_kernel not in (1, 3):
      raise errors.ConfigError(
        f'DiscriminatorConfig.temporal_kernel is {self.temporal_kernel}; '
        'expected 3, or 1 for frames.'
      )

  def check_size(self, height: int, width: int) -> None:
    """Raises ConfigError where frames of this size cannot be judged."""
    if height % self.fold or width % self.fold:
      raise errors.ConfigError(
        f'DiscriminatorConfig.fold is {self.fold}; it must divide the clips, '
        f'which are {height} x {width} pixels.'
      )


def blur_pool(video_BTHWC: jax.Array, axes: tuple[int, ...]) -> jax.Array:
  """Blurs and takes every second position of some axes.

  Args:
    video_BTHWC: any float dtype.
    axes: axes to halve; those of one position stay.

  Returns:
    The video with ceil(size / 2) positions on these axes. Beyond its borders
    the outermost position is repeated.
  """
  for axis in axes:
    size = video_BTHWC.shape[axis]
    if size == 1:
      continue
    half = -(-size // 2)
    sides = [(0, 0)] * video_BTHWC.ndim
    sides[axis] = (1, 2 * half + 1 - size)
    padded = jnp.pad(video_BTHWC, sides, mode='edge')
    video_BTHWC = jnp.zeros((), video_BTHWC.dtype)
    for tap, weight in enumerate(_BLUR):
      video_BTHWC += weight * jax.lax.slice_in_dim(
        padded, tap, tap + 2 * half - 1, 2, axis=axis
      )
  return video_BTHWC


class CentredConv3D(nn.Module):
  """A convolution with zeros on both sides in time.

  Attributes:
    features: channels out.
    temporal_kernel: taps over time, an odd number; 3 over height and width.
  """

  features: int
  temporal_kernel: int = 3

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Maps (..., channels in) to (..., features)."""
    ahead = self.temporal_kernel // 2
    # A causal convolution of a clip that ends `ahead` frames later.
    padded = jnp.pad(video_BTHWC, ((0, 0), (0, ahead), (0, 0), (0, 0), (0, 0)))
    out = causal_conv.CausalConv3D(
      self.features,
      (self.temporal_kernel, 3, 3),
      kernel_init=nn.initializers.he_normal(in_axis=(0, 1, 2, 3), out_axis=4),
      name='conv',
    )(padded)
    return out[:, ahead:]


class _Residual(nn.Module):
  """Two convolutions and a halving beside a pooled linear shortcut."""

  features: int
  temporal_kernel: int

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    axes = (1, 2, 3) if self.temporal_kernel > 1 else (2, 3)
    hidden = CentredConv3D(
      video_BTHWC.shape[-1], self.temporal_kernel, name='conv_0'
    )(video_BTHWC)
    hidden = blur_pool(nn.leaky_relu(hidden, 0.2), axes)
    hidden = CentredConv3D(self.features, self.temporal_kernel, name='conv_1')(
      hidden
    )
    shortcut = blocks.Dense(self.features, name='shortcut')(
      blur_pool(video_BTHWC, axes)
    )
    return (nn.leaky_relu(hidden, 0.2) + shortcut) * math.sqrt(0.5)


class Discriminator(nn.Module):
  """Maps a clip to logits, one a place of the coarsest grid.

  StyleGAN flattens that grid into one logit of a fixed size of clip; judging
  every place (Isola et al., arXiv 1611.07004) admits any size.

  Attributes:
    config: sizes.
  """

  config: DiscriminatorConfig

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array) -> jax.Array:
    """Judges.

    Args:
      video_BTHWC: float in [-1, 1], any number of frames.

    Returns:
      float32 logits (batch, t, h, w), positive for "real".
    """
    config = self.config
    hidden = video_BTHWC.astype(jnp.float32)
    if config.fold > 1:
      hidden = blocks.fold_space(hidden, config.fold)
    hidden = nn.leaky_relu(
      CentredConv3D(config.channels, config.temporal_kernel, name='conv_in')(
        hidden
      ),
      0.2,
    )
    for level, multiplier in enumerate(config.channel_multipliers):
      hidden = _Residual(
        config.channels * multiplier,
        config.temporal_kernel,
        name=f'level_{level}',
      )(hidden)
    hidden = nn.leaky_relu(
      CentredConv3D(hidden.shape[-1], config.temporal_kernel, name='conv_out')(
        hidden
      ),
      0.2,
    )
    return blocks.Dense(1, name='logits')(hidden)[..., 0]
