"""Shape of a tokenizer's grid of ids, without the tokenizer."""

import dataclasses

from videopoet_jax.core import descriptions
from videopoet_jax.core import errors


@dataclasses.dataclass(frozen=True)
class VisualSpec:
  """How pixels map to a grid of visual ids (MAGVIT-v2).

  Attributes:
    codebook_size: number of codes (2^18 in the paper).
    spatial_stride: pixels a latent cell covers along height and width.
    temporal_stride: frames a latent frame covers, the first excepted: it
      holds one frame, so an image is a one-frame video.
    frame_rate: frames a second of the clips.
    has_bits: whether each bit of an id has a meaning of its own (LFQ, BSQ).
  """

  codebook_size: int = 2**18
  spatial_stride: int = 8
  temporal_stride: int = 4
  frame_rate: float = 8.0
  has_bits: bool = descriptions.later(True)

  def require_bits(self, what: str) -> None:
    """Raises ConfigError if ids have no bits.

    Args:
      what: a setting or a model that reads ids bit by bit.
    """
    if not self.has_bits:
      raise errors.ConfigError(
        f'{what} reads ids bit by bit, and the bits of these'
        f' {self.codebook_size} codes (FSQ or VQ) have no meaning; use a visual'
        " tokenizer with VisualTokenizerConfig.quantizer = 'lfq' or 'bsq'."
      )

  def latent_frames(self, frames: int) -> int:
    """Latent frames of a clip; LayoutError unless frames is 1 + k stride."""
    stride = self.temporal_stride
    if frames < 1 or (frames - 1) % stride:
      lower = 1 + max(0, (frames - 1) // stride) * stride
      raise errors.LayoutError(
        f'a clip of {frames} frames does not fit a causal tokenizer that '
        f'holds 1 + {stride} k frames; use {lower} or {lower + stride}.'
      )
    return 1 + (frames - 1) // stride

  def frames(self, latent_frames: int) -> int:
    """Frames that the first `latent_frames` latent frames hold."""
    if not latent_frames:
      return 0
    return 1 + (latent_frames - 1) * self.temporal_stride

  def latent_shape(
    self, frames: int, height: int, width: int
  ) -> tuple[int, int, int]:
    """Shape (t, h, w) of the ids of a clip of (frames, height, width)."""
    stride = self.spatial_stride
    for name, size in (('height', height), ('width', width)):
      if size < stride or size % stride:
        lower = max(stride, size // stride * stride)
        raise errors.LayoutError(
          f"{name} {size} is not a multiple of the tokenizer's spatial stride "
          f'{stride}; use {lower} or {lower + stride}.'
        )
    return self.latent_frames(frames), height // stride, width // stride


@dataclasses.dataclass(frozen=True)
class AudioSpec:
  """How a waveform maps to a grid of audio ids (SoundStream).

  The sampling rate is not in the paper; 106 latent frames in 2.125 s is 50 Hz,
  hence 16 kHz and 320 samples a latent.

  Attributes:
    levels: residual-quantizer levels.
    codes: codes a level.
    sampling_rate: samples a second.
    hop: samples a latent frame covers.
  """

  levels: int = 4
  codes: int = 1024
  sampling_rate: int = 16_000
  hop: int = 320

  def latent_frames(self, seconds: float) -> int:
    """Whole latent frames in a duration; a remainder is cropped."""
    return int(seconds * self.sampling_rate + 1e-6) // self.hop
