"""Maps codes to pixels: mirrors of the two encoders."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.layers import causal_conv
from videopoet_jax.tokenizers.magvit2 import blocks
from videopoet_jax.tokenizers.magvit2 import config as config_lib


class ConvDecoder(nn.Module):
  """MAGVIT-v2's decoder: depth-to-space, adaptive norms on the codes.

  Attributes:
    config: sizes.
  """

  config: config_lib.VisualTokenizerConfig

  @nn.compact
  def __call__(self, codes_BTHWC: jax.Array, first: bool = True) -> jax.Array:
    """Decodes.

    Args:
      codes_BTHWC: float32 codes of the quantizer, (batch, t, h, w, channels).
      first: whether the codes begin with the clip's first frame. A later chunk
        needs the collection that the chunk before it has left, see
        `layers.causal_conv`.

    Returns:
      float32 video, (batch, 1 + (t - 1) * temporal_stride, h * stride,
      w * stride, 3), meant to lie in [-1, 1] but not clipped; a later chunk has
      t * temporal_stride frames.
    """
    config = self.config
    dtype = jnp.dtype(config.dtype)
    levels = len(config.channel_multipliers)
    top = config.channels * config.channel_multipliers[-1]
    hidden = causal_conv.CausalConv3D(
      top,
      config.kernel_size,
      implementation=config.convolution,
      dtype=dtype,
      name='conv_in',
    )(blocks.constrain_video(codes_BTHWC))
    for index in range(config.num_residual_blocks):
      hidden = blocks.ConvResidual(
        top,
        config.norm_groups,
        config.convolution,
        config.temporal_kernel,
        name=f'first_block_{index}',
      )(hidden)
    time_factor, space_factor = 1, 1
    for level in reversed(range(levels)):
      features = config.channels * config.channel_multipliers[level]
      codes = blocks.repeat_codes(codes_BTHWC, time_factor, space_factor, first)
      hidden = blocks.AdaptiveFrameGroupNorm(
        config.norm_groups, name=f'level_{level}_adaptive_norm'
      )(hidden, codes)
      for index in range(config.num_residual_blocks):
        hidden = blocks.ConvResidual(
          features,
          config.norm_groups,
          config.convolution,
          config.temporal_kernel,
          name=f'level_{level}_block_{index}',
        )(hidden)
      if level == 0:
        break
      grows_time = 2 if config.halves_time(level - 1) else 1
      hidden = causal_conv.CausalConv3D(
        features * 4 * grows_time,
        config.kernel_size,
        implementation=config.convolution,
        dtype=dtype,
        name=f'level_{level}_up',
      )(hidden)
      hidden = blocks.unfold_time(hidden, grows_time, first)
      hidden = blocks.unfold_space(hidden, 2)
      time_factor *= grows_time
      space_factor *= 2
    hidden = blocks.FrameGroupNorm(config.norm_groups, swish=True)(hidden)
    video = causal_conv.CausalConv3D(
      3, config.kernel_size, implementation=config.convolution, name='conv_out'
    )(hidden.astype(jnp.float32))
    return blocks.constrain_video(video)


class PatchDecoder(nn.Module):
  """Blocks at low resolution, then a wide MLP that writes whole patches.

  Attributes:
    config: sizes.
  """

  config: config_lib.VisualTokenizerConfig

  @nn.compact
  def __call__(self, codes_BTHWC: jax.Array, first: bool = True) -> jax.Array:
    """Decodes; arguments and shapes as in `ConvDecoder`."""
    config = self.config
    hidden = blocks.Dense(config.latent_dim, name='codes')(
      codes_BTHWC.astype(config.dtype)
    )
    for index in range(config.latent_blocks):
      hidden = blocks.LightResidual(
        config.kernel_size, config.convolution, name=f'latent_block_{index}'
      )(hidden)
    rest = config.spatial_stride // config.patch_size
    if rest > 1:
      hidden = blocks.Dense(config.patch_dim * rest * rest, name='unfold')(
        blocks.ChannelRMSNorm(name='latent_norm')(hidden)
      )
      hidden = blocks.unfold_space(hidden, rest)
      for index in range(config.patch_blocks):
        hidden = blocks.LightResidual(
          (1, 3, 3), config.convolution, name=f'patch_block_{index}'
        )(hidden)
    hidden = blocks.ChannelRMSNorm(name='norm')(hidden)
    hidden = nn.gelu(
      blocks.Dense(config.output_hidden_dim, name='patches')(hidden)
    )
    hidden = blocks.Dense(
      config.temporal_stride * config.patch_size**2 * 3, name='pixels'
    )(hidden)
    hidden = blocks.unfold_space(hidden, config.patch_size)
    return blocks.unfold_time(hidden, config.temporal_stride, first).astype(
      jnp.float32
    )
