"""Configuration of a visual tokenizer."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import descriptions
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers.quantizers import catalogue
from videopoet_jax.tokenizers.quantizers import interface

ARCHITECTURES = ('magvit2', 'patch')


@dataclasses.dataclass(frozen=True)
class VisualTokenizerConfig:
  """Sizes of a MAGVIT-v2 tokenizer; the defaults are the paper's.

  Two architectures share quantizer, interface, strides and causality: 'magvit2'
  is the paper's convolutional network; 'patch' maps groups of four frames of
  small patches to vectors at once, so that nothing is computed at full
  resolution, and a CPU can train it.

  Attributes:
    architecture: 'magvit2' or 'patch'.
    num_bits: LFQ, BSQ: latent dimensions, hence 2 ** num_bits codes (18).
    spatial_stride: pixels a latent cell covers along height and width (8).
    temporal_stride: frames a latent frame covers after the first (4).
    frame_rate: frames a second of the clips it is trained on.
    normalize_latents: LFQ: divide each latent vector by its root mean square
      before quantization. It changes no sign, so no id; it keeps latents where
      the entropy terms and the straight-through gradient act.
    channels: magvit2: channels at full resolution (128).
    channel_multipliers: magvit2: channels of each resolution, from full to
      latent, in units of `channels`; one more than the spatial halvings.
    num_residual_blocks: magvit2: blocks at each resolution (4).
    norm_groups: magvit2: groups of the group norms (32).
    patch_size: patch: pixels of a patch along height and width, at most the
      spatial stride; where it is less, blocks at patch resolution come first.
    patch_hidden_dim: patch: width of the encoder's pixel MLP.
    patch_dim: patch: channels at patch resolution.
    patch_blocks: patch: per-frame residual blocks at patch resolution.
    latent_dim: patch: channels at latent resolution.
    latent_blocks: patch: causal 3D residual blocks at latent resolution, in
      encoder and decoder each.
    output_hidden_dim: patch: width of the decoder's pixel MLP.
    convolution: one of `layers.causal_conv.IMPLEMENTATIONS`.
    dtype: dtype of convolutions; the quantizer is float32 always.
    temporal_kernel: taps over time of convolutions that look back: 3, or 1 for
      the image stage, whose weights `inflation` turns into those of a video
      model.
    quantizer: 'lfq' (MAGVIT-v2's), 'bsq', 'fsq' or 'vq'; see
      `tokenizers.quantizers`. A field of another kind must stay at its default.
    fsq_levels: FSQ: levels of each latent dimension; their product is the
      number of codes.
    vq_codebook_size: VQ: number of codes.
    vq_code_dim: VQ: width of a code.
    vq_gradient: VQ: how gradients pass the quantizer, 'straight_through' or
      'rotation'; see `quantizers.vq`.
  """

  architecture: str = 'magvit2'
  num_bits: int = 18
  spatial_stride: int = 8
  temporal_stride: int = 4
  frame_rate: float = 8.0
  normalize_latents: bool = False
  channels: int = 128
  channel_multipliers: tuple[int, ...] = (1, 2, 2, 4)
  num_residual_blocks: int = 4
  norm_groups: int = 32
  patch_size: int = 4
  patch_hidden_dim: int = 512
  patch_dim: int = 128
  patch_blocks: int = 1
  latent_dim: int = 256
  latent_blocks: int = 1
  output_hidden_dim: int = 1024
  convolution: str = 'auto'
  dtype: str = 'float32'
  temporal_kernel: int = descriptions.later(3)
  quantizer: str = descriptions.later('lfq')
  fsq_levels: tuple[int, ...] = descriptions.later(())
  vq_codebook_size: int = descriptions.later(0)
  vq_code_dim: int = descriptions.later(0)
  vq_gradient: str = descriptions.later('straight_through')

  def __post_init__(self) -> None:
    # JSON and gin give lists.
    for name in ('channel_multipliers', 'fsq_levels'):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    if self.architecture not in ARCHITECTURES:
      raise errors.ConfigError(
        f'VisualTokenizerConfig.architecture is {self.architecture!r}; it must'
        f' be one of {", ".join(ARCHITECTURES)}.'
      )
    catalogue.check(self)
    for name in ('spatial_stride', 'temporal_stride'):
      stride = getattr(self, name)
      if stride < 1 or stride & (stride - 1):
        raise errors.ConfigError(
          f'VisualTokenizerConfig.{name} is {stride}; it must be a power of 2.'
        )
    if self.temporal_kernel not in (1, 3):
      raise errors.ConfigError(
        f'VisualTokenizerConfig.temporal_kernel is {self.temporal_kernel}; it '
        'must be 3, or 1 for the image stage.'
      )
    errors.check_range(self, 'frame_rate', above=True)
    errors.check_range(
      self, 'channels', 'channel_multipliers', 'norm_groups', 'patch_size',
      'patch_hidden_dim', 'patch_dim', 'latent_dim', 'output_hidden_dim',
      least=1,
    )  # fmt: skip
    errors.check_range(
      self, 'num_residual_blocks', 'patch_blocks', 'latent_blocks'
    )
    if self.architecture == 'magvit2':
      self._check_magvit2()
    elif self.spatial_stride % self.patch_size:
      raise errors.ConfigError(
        f'VisualTokenizerConfig.patch_size is {self.patch_size}; it must divide'
        f' spatial_stride, {self.spatial_stride}.'
      )

  def _check_magvit2(self) -> None:
    if len(self.channel_multipliers) != self.spatial_halvings + 1:
      raise errors.ConfigError(
        'VisualTokenizerConfig.channel_multipliers has'
        f' {len(self.channel_multipliers)} entries; a spatial stride of'
        f' {self.spatial_stride} takes {self.spatial_halvings + 1}.'
      )
    if self.temporal_halvings > self.spatial_halvings:
      raise errors.ConfigError(
        f'VisualTokenizerConfig.temporal_stride, {self.temporal_stride}, must'
        f' not exceed spatial_stride, {self.spatial_stride}.'
      )
    if self.channels % self.norm_groups:
      raise errors.ConfigError(
        f'VisualTokenizerConfig.channels, {self.channels}, must be a multiple'
        f' of norm_groups, {self.norm_groups}.'
      )

  @property
  def spatial_halvings(self) -> int:
    """Number of times that height and width are halved."""
    return self.spatial_stride.bit_length() - 1

  @property
  def temporal_halvings(self) -> int:
    """Number of times that the frame rate is halved."""
    return self.temporal_stride.bit_length() - 1

  @property
  def kernel_size(self) -> tuple[int, int, int]:
    """Taps over time, height and width of convolutions that look back."""
    return (self.temporal_kernel, 3, 3)

  def halves_time(self, level: int) -> bool:
    """Whether the downsampling after resolution `level` halves time too.

    The last ones do, so that the costliest resolution sees every frame.
    """
    return level >= self.spatial_halvings - self.temporal_halvings

  def make_quantizer(self) -> interface.Quantizer:
    """Returns the quantizer that the fields choose."""
    return catalogue.make(self)

  @property
  def code_channels(self) -> int:
    """Channels of latents and codes."""
    return self.make_quantizer().latent_dim

  @property
  def spec(self) -> specs.VisualSpec:
    """Shape of the tokenizer's grid of ids."""
    quantizer = self.make_quantizer()
    return specs.VisualSpec(
      codebook_size=quantizer.codebook_size,
      spatial_stride=self.spatial_stride,
      temporal_stride=self.temporal_stride,
      frame_rate=self.frame_rate,
      has_bits=quantizer.has_bits,
    )


def from_description(description: Mapping[str, Any]) -> VisualTokenizerConfig:
  """See `checkpoints.describe.read_config`."""
  return describe.read_config(
    VisualTokenizerConfig, description, 'visual tokenizer'
  )
