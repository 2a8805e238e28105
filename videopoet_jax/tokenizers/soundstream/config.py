"""Sizes of the audio tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers.quantizers import residual

ARCHITECTURES = ('soundstream', 'patch')


@dataclasses.dataclass(frozen=True)
class SoundStreamConfig:
  """Sizes of the audio tokenizer; the defaults are VideoPoet's size.

  Two architectures share the quantizer, the ids and the interface:
  'soundstream' (arXiv 2107.03312) is convolutional from waveform to waveform;
  'patch' codes each hop with a small network, which a CPU trains in a minute.

  Attributes:
    architecture: one of `ARCHITECTURES`.
    sampling_rate: samples a second (16 kHz: inferred from 50 latents a second).
    strides: strides of the encoder's blocks; their product is the hop.
    channels: channels of the first layer; they double with every block
      ('soundstream').
    dilations: dilations of the residual units of a block ('soundstream').
    num_levels: codebooks of the quantizer.
    codebook_size: codes a level.
    latent_width: channels that are quantized.
    quantizer_dropout: share of clips trained with fewer levels.
    window: samples of the spectra that the encoder sees ('patch').
    crossover_hertz: above it spectra are coded, not samples only ('patch').
    envelope_steps: channels of the latent that hold the envelope above the
      crossover; the others are learned ('patch').
    hidden_width: hidden width of the networks ('patch').
    encoder_context: frames that the encoder sees, its own included ('patch').
    decoder_context: frames that the decoder sees, its own included ('patch').
  """

  architecture: str = 'soundstream'
  sampling_rate: int = 16_000
  strides: tuple[int, ...] = (2, 4, 5, 8)
  channels: int = 32
  dilations: tuple[int, ...] = (1, 3, 9)
  num_levels: int = 4
  codebook_size: int = 1024
  latent_width: int = 128
  quantizer_dropout: float = 0.5
  window: int = 256
  crossover_hertz: float = 1500.0
  envelope_steps: int = 15
  hidden_width: int = 256
  encoder_context: int = 1
  decoder_context: int = 3

  def __post_init__(self) -> None:
    # JSON and gin give lists.
    object.__setattr__(self, 'strides', tuple(self.strides))
    object.__setattr__(self, 'dilations', tuple(self.dilations))
    if self.architecture not in ARCHITECTURES:
      raise errors.ConfigError(
        f'SoundStreamConfig.architecture is {self.architecture!r}'
        + errors.near_names(self.architecture, ARCHITECTURES)
      )
    if not self.strides or not self.dilations:
      raise errors.ConfigError(
        f'SoundStreamConfig.strides are {self.strides} and dilations '
        f'{self.dilations}; both need at least one entry.'
      )
    errors.check_range(
      self, 'sampling_rate', 'strides', 'channels', 'dilations', 'num_levels',
      'latent_width', 'window', 'hidden_width', least=1,
    )  # fmt: skip
    errors.check_range(self, 'codebook_size', least=2)
    errors.check_range(
      self, 'envelope_steps', 'encoder_context', 'decoder_context'
    )
    errors.check_range(self, 'quantizer_dropout', most=1)
    errors.check_range(self, 'crossover_hertz', above=True)
    if self.architecture == 'patch' and (
      self.window % 4 or not 8 <= self.window <= self.hop
    ):
      raise errors.ConfigError(
        f'SoundStreamConfig.window is {self.window}; it must be a multiple '
        f'of 4 from 8 to the hop, {self.hop} (the product of strides).'
      )

    if self.architecture == 'patch' and not (
      0 < self.envelope_steps < self.latent_width
    ):
      raise errors.ConfigError(
        f'SoundStreamConfig.envelope_steps is {self.envelope_steps}; it must '
        f'be from 1 to less than latent_width, {self.latent_width}.'
      )

  @property
  def hop(self) -> int:
    """Samples a latent frame covers."""
    return math.prod(self.strides)

  @property
  def spec(self) -> specs.AudioSpec:
    """Shape of the grid of ids."""
    return specs.AudioSpec(
      levels=self.num_levels,
      codes=self.codebook_size,
      sampling_rate=self.sampling_rate,
      hop=self.hop,
    )

  @property
  def quantizer(self) -> residual.ResidualQuantizerConfig:
    """Sizes of the quantizer."""
    return residual.ResidualQuantizerConfig(
      num_levels=self.num_levels,
      codebook_size=self.codebook_size,
      width=self.latent_width,
      dropout=self.quantizer_dropout,
    )


def paper() -> SoundStreamConfig:
  """VideoPoet's size: 2.125 s -> 106 frames x 4 levels x 1,024 codes."""
  return SoundStreamConfig()


def tiny() -> SoundStreamConfig:
  """A size for two cores: 2.125 s -> 17 frames x 2 levels x 256 codes.

  A latent lasts as long as a video frame at 8 a second, 125 ms.
  """
  return SoundStreamConfig(
    architecture='patch',
    strides=(5, 8, 10, 5),
    num_levels=2,
    codebook_size=256,
    latent_width=32,
    quantizer_dropout=0.1,
  )


def from_description(description: Mapping[str, Any]) -> SoundStreamConfig:
  """See `checkpoints.describe.read_config`."""
  return describe.read_config(SoundStreamConfig, description, 'audio tokenizer')
