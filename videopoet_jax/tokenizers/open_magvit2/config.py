"""Sizes of Open-MAGVIT2's tokenizers."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import errors
from videopoet_jax.core import specs

# Every group norm of the family has 32 groups.
GROUPS = 32


@dataclasses.dataclass(frozen=True)
class OpenMagvit2Config:
  """Sizes of an Open-MAGVIT2 tokenizer with lookup-free quantization.

  The defaults are those of the image tokenizer that was trained at 256 x 256.

  Attributes:
    video: whether convolutions extend over time; otherwise each frame of a clip
      is an image for itself.
    num_bits: latent dimensions, hence 2 ** num_bits codes.
    channels: channels at full resolution.
    channel_multipliers: channels of each resolution, from full to latent, in
      units of `channels`. A video tokenizer halves time after a resolution
      whose multiplier is not 1.
    num_residual_blocks: residual blocks at each resolution.
    frame_rate: frames a second of the clips.
  """

  video: bool = False
  num_bits: int = 18
  channels: int = 128
  channel_multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
  num_residual_blocks: int = 4
  frame_rate: float = 8.0

  def __post_init__(self) -> None:
    object.__setattr__(
      self, 'channel_multipliers', tuple(self.channel_multipliers)
    )
    errors.check_range(self, 'num_bits', least=1, most=24)
    errors.check_range(self, 'frame_rate', above=True)
    errors.check_range(
      self, 'channels', 'channel_multipliers', 'num_residual_blocks', least=1
    )
    if self.channels % GROUPS:
      raise errors.ConfigError(
        f'OpenMagvit2Config.channels is {self.channels}; it must be a multiple'
        f' of {GROUPS}, the groups of its norms.'
      )

  def halves_time(self, level: int) -> bool:
    """Whether the downsampling after resolution `level` halves time, too."""
    return self.video and self.channel_multipliers[level] != 1

  @property
  def spec(self) -> specs.VisualSpec:
    """Shape of the tokenizer's grid of ids."""
    levels = len(self.channel_multipliers) - 1
    return specs.VisualSpec(
      codebook_size=2**self.num_bits,
      spatial_stride=2**levels,
      temporal_stride=2 ** sum(map(self.halves_time, range(levels))),
      frame_rate=self.frame_rate,
    )


def from_description(description: Mapping[str, Any]) -> OpenMagvit2Config:
  """See `checkpoints.describe.read_config`."""
  return describe.read_config(
    OpenMagvit2Config, description, 'Open-MAGVIT2 tokenizer'
  )
