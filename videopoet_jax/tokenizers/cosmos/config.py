"""Sizes of Cosmos' discrete video tokenizers."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers.published import scalar_levels


@dataclasses.dataclass(frozen=True)
class CosmosConfig:
  """Sizes of a Cosmos DV tokenizer; the defaults are those of DV8x16x16.

  Attributes:
    temporal_stride: frames a latent frame covers after the first.
    spatial_stride: pixels a latent cell covers along height and width.
    levels: levels of each latent dimension.
    patch_size: pixels and frames of a wavelet patch along each axis.
    channels: channels at patch resolution, before the first multiplier.
    channel_multipliers: channels of each resolution, in units of `channels`.
    num_residual_blocks: blocks at each resolution of the encoder; the decoder
      has one more.
    latent_channels: channels between the network and the quantizer's linear
      maps.
    frame_rate: frames a second of the clips.
  """

  temporal_stride: int = 8
  spatial_stride: int = 16
  levels: tuple[int, ...] = (8, 8, 8, 5, 5, 5)
  patch_size: int = 4
  channels: int = 128
  channel_multipliers: tuple[int, ...] = (2, 4, 4)
  num_residual_blocks: int = 2
  latent_channels: int = 16
  frame_rate: float = 8.0

  def __post_init__(self) -> None:
    for name in ('levels', 'channel_multipliers'):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    errors.check_range(self, 'levels', least=2)
    errors.check_range(self, 'frame_rate', above=True)
    errors.check_range(
      self, 'temporal_stride', 'spatial_stride', 'patch_size', 'channels',
      'channel_multipliers', 'num_residual_blocks', 'latent_channels', least=1,
    )  # fmt: skip
    most = self.patch_size * 2 ** (len(self.channel_multipliers) - 1)
    for name in ('temporal_stride', 'spatial_stride'):
      stride = getattr(self, name)
      if stride & (stride - 1) or not self.patch_size <= stride <= most:
        raise errors.ConfigError(
          f'CosmosConfig.{name} is {stride}; it must be a power of 2 from'
          f' {self.patch_size}, the patch size, to {most}.'
        )
    if self.temporal_stride > self.spatial_stride:
      raise errors.ConfigError(
        f'CosmosConfig.temporal_stride, {self.temporal_stride}, must not exceed'
        f' spatial_stride, {self.spatial_stride}.'
      )

  @property
  def space_halvings(self) -> int:
    """Number of times that height and width of patches are halved."""
    return (self.spatial_stride // self.patch_size).bit_length() - 1

  @property
  def time_halvings(self) -> int:
    """Number of times that the frames of patches are halved."""
    return (self.temporal_stride // self.patch_size).bit_length() - 1

  def halves(self, level: int) -> tuple[bool, bool]:
    """Whether the encoder halves time, and space, after a resolution."""
    return level < self.time_halvings, level < self.space_halvings

  def doubles(self, level: int) -> tuple[bool, bool]:
    """Whether the decoder doubles time, and space, after a resolution."""
    step = len(self.channel_multipliers) - 1 - level
    time = 0 < step <= self.time_halvings
    more = self.space_halvings > self.time_halvings
    return time, time or (more and step < self.space_halvings)

  @property
  def spec(self) -> specs.VisualSpec:
    """Shape of the tokenizer's grid of ids."""
    return specs.VisualSpec(
      codebook_size=scalar_levels.codebook_size(self.levels),
      spatial_stride=self.spatial_stride,
      temporal_stride=self.temporal_stride,
      frame_rate=self.frame_rate,
    )


def from_description(description: Mapping[str, Any]) -> CosmosConfig:
  """See `checkpoints.describe.read_config`."""
  return describe.read_config(CosmosConfig, description, 'Cosmos tokenizer')
