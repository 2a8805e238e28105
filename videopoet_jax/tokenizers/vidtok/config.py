"""Sizes of VidTok's causal tokenizers."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers.published import scalar_levels

VERSIONS = ('1.0', '1.1')


@dataclasses.dataclass(frozen=True)
class VidTokConfig:
  """Sizes of a causal VidTok with finite scalar quantization.

  The defaults are those of `vidtok_fsq_causal_488_32768`.

  Attributes:
    version: '1.0' or '1.1'. They have the same parameters; 1.1 repeats the
      first frame before a clip where 1.0 has zeros, and upsamples time
      linearly where 1.0 repeats.
    levels: levels of each latent dimension.
    channels: channels at full resolution.
    channel_multipliers: channels of each resolution, from full to latent, in
      units of `channels`.
    num_residual_blocks: pairs of blocks at each resolution of the encoder; the
      decoder has one more.
    down_levels: resolutions after which the encoder halves time, too.
    up_levels: resolutions after which the decoder doubles time, too.
    frame_rate: frames a second of the clips.
  """

  version: str = '1.0'
  levels: tuple[int, ...] = (8, 8, 8, 8, 8)
  channels: int = 128
  channel_multipliers: tuple[int, ...] = (1, 2, 4, 4)
  num_residual_blocks: int = 2
  down_levels: tuple[int, ...] = (1, 2)
  up_levels: tuple[int, ...] = (1, 2)
  frame_rate: float = 8.0

  def __post_init__(self) -> None:
    for name in ('levels', 'channel_multipliers', 'down_levels', 'up_levels'):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    errors.check_choice('VidTokConfig.version', self.version, VERSIONS)
    errors.check_range(self, 'levels', least=2)
    errors.check_range(self, 'frame_rate', above=True)
    errors.check_range(
      self, 'channels', 'channel_multipliers', 'num_residual_blocks', least=1
    )
    if len(self.down_levels) != len(self.up_levels):
      raise errors.ConfigError(
        f'VidTokConfig.down_levels is {self.down_levels} and up_levels'
        f' {self.up_levels}; the decoder must double time as often as the'
        ' encoder halves it.'
      )

  @property
  def repeat_first(self) -> bool:
    """Whether frames before a clip repeat its first one."""
    return self.version == '1.1'

  @property
  def spec(self) -> specs.VisualSpec:
    """Shape of the tokenizer's grid of ids."""
    return specs.VisualSpec(
      codebook_size=scalar_levels.codebook_size(self.levels),
      spatial_stride=2 ** (len(self.channel_multipliers) - 1),
      temporal_stride=2 ** len(self.down_levels),
      frame_rate=self.frame_rate,
    )


def from_description(description: Mapping[str, Any]) -> VidTokConfig:
  """See `checkpoints.describe.read_config`."""
  return describe.read_config(VidTokConfig, description, 'VidTok tokenizer')
