"""Maps pixels to latents, before quantization: two architectures."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.layers import causal_conv
from videopoet_jax.tokenizers.magvit2 import blocks
from videopoet_jax.tokenizers.magvit2 import config as config_lib


class ConvEncoder(nn.Module):
  """MAGVIT-v2's causal 3D convolutional encoder (section 3.2, appendix A).

  Attributes:
    config: sizes.
  """

  config: config_lib.VisualTokenizerConfig

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array, first: bool = True) -> jax.Array:
    """Encodes.

    Args:
      video_BTHWC: float, 1 + temporal_stride * k frames of 3 channels;
        temporal_stride * k in a later chunk of a clip.
      first: whether the video begins with the clip's first frame. A later
        chunk needs the collection that the chunk before it has left, see
        `layers.causal_conv`.

    Returns:
      float32 (batch, 1 + k, height / stride, width / stride, channels); k
      frames in a later chunk.
    """
    del first  # The convolutions know it by what they carry.
    config = self.config
    dtype = jnp.dtype(config.dtype)
    hidden = causal_conv.CausalConv3D(
      config.channels,
      config.kernel_size,
      implementation=config.convolution,
      dtype=dtype,
      name='conv_in',
    )(blocks.constrain_video(video_BTHWC))
    for level, multiplier in enumerate(config.channel_multipliers):
      features = config.channels * multiplier
      for index in range(config.num_residual_blocks):
        hidden = blocks.ConvResidual(
          features,
          config.norm_groups,
          config.convolution,
          config.temporal_kernel,
          name=f'level_{level}_block_{index}',
        )(hidden)
      if level < config.spatial_halvings:
        hidden = causal_conv.CausalConv3D(
          features,
          config.kernel_size,
          strides=(2 if config.halves_time(level) else 1, 2, 2),
          implementation=config.convolution,
          dtype=dtype,
          name=f'level_{level}_down',
        )(hidden)
        hidden = blocks.constrain_video(hidden)
    for index in range(config.num_residual_blocks):
      hidden = blocks.ConvResidual(
        hidden.shape[-1],
        config.norm_groups,
        config.convolution,
        config.temporal_kernel,
        name=f'last_block_{index}',
      )(hidden)
    hidden = blocks.FrameGroupNorm(config.norm_groups, swish=True)(hidden)
    return _latents(config, hidden)


class PatchEncoder(nn.Module):
  """Groups of frames of patches, an MLP, then few blocks at low resolution.

  Attributes:
    config: sizes.
  """

  config: config_lib.VisualTokenizerConfig

  @nn.compact
  def __call__(self, video_BTHWC: jax.Array, first: bool = True) -> jax.Array:
    """Encodes; arguments and shapes as in `ConvEncoder`."""
    config = self.config
    hidden = blocks.fold_time(
      video_BTHWC.astype(config.dtype), config.temporal_stride, first
    )
    hidden = blocks.fold_space(hidden, config.patch_size)
    hidden = nn.gelu(
      blocks.Dense(config.patch_hidden_dim, name='pixels')(hidden)
    )
    rest = config.spatial_stride // config.patch_size
    if rest > 1:
      hidden = blocks.Dense(config.patch_dim, name='patches')(hidden)
      for index in range(config.patch_blocks):
        hidden = blocks.LightResidual(
          (1, 3, 3), config.convolution, name=f'patch_block_{index}'
        )(hidden)
      hidden = blocks.fold_space(hidden, rest)
    hidden = blocks.Dense(config.latent_dim, name='fold')(hidden)
    for index in range(config.latent_blocks):
      hidden = blocks.LightResidual(
        config.kernel_size, config.convolution, name=f'latent_block_{index}'
      )(hidden)
    hidden = blocks.ChannelRMSNorm(name='norm')(hidden)
    return _latents(config, hidden)


def _latents(
  config: config_lib.VisualTokenizerConfig, hidden: jax.Array
) -> jax.Array:
  latents = blocks.Dense(config.code_channels, name='latents')(
    hidden.astype(jnp.float32)
  )
  if config.normalize_latents:
    mean_square = jnp.mean(jnp.square(latents), axis=-1, keepdims=True)
    latents = latents * jax.lax.rsqrt(mean_square + 1e-6)
  return latents
