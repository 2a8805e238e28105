"""What a plan may be of: a model, at one size of its inputs.

All that the planner asks of a model is here; the rest of the room does not know
which models there are.
"""

import dataclasses
from typing import Any, Protocol

from videopoet_jax.core import kernel_blocks
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import upscaling
from videopoet_jax.models.prefix_lm import config as prefix_lm_config
from videopoet_jax.models.super_resolution import config as sr_config
from videopoet_jax.planning import flops as flops_lib
from videopoet_jax.planning import super_resolution_work
from videopoet_jax.training import prefix_lm
from videopoet_jax.training import super_resolution

Config = prefix_lm_config.PrefixLMConfig | sr_config.SuperResolutionConfig


@dataclasses.dataclass(frozen=True)
class Grids:
  """The tokenizers' grids of a super-resolution model.

  Attributes:
    visual: of the result.
    low_visual: of the condition.
  """

  visual: specs.VisualSpec = specs.VisualSpec()
  low_visual: specs.VisualSpec = specs.VisualSpec()


Space = tasks.LayoutSpace | Grids


class Subject(Protocol):
  """A model at one size."""

  @property
  def scanned(self) -> int:
    """Bodies of the scan over the model's depth."""

  @property
  def positions(self) -> int:
    """Tokens of an example."""

  def trainable(self) -> Any:
    """What the training loop trains."""

  def bare_config(self) -> Any:
    """The config without what does not concern the update."""

  def work(self) -> flops_lib.Work:
    """Of an example."""

  def recomputation(self) -> float:
    """FLOPs that the backward pass may spend a second time, an example."""

  def kernel_pairs(self, parts: int) -> float:
    """Pairs of query and key that a fused kernel works on, a head.

    Whole blocks, so more than the mask leaves; a chip's share.

    Args:
      parts: chips that the mesh splits a sequence over.
    """


@dataclasses.dataclass(frozen=True)
class PrefixLM:
  """The language model at a layout.

  Attributes:
    config: sizes and choices.
    space: vocabulary and grids that layouts are built from.
    name: the layout's.
  """

  config: prefix_lm_config.PrefixLMConfig
  space: tasks.LayoutSpace
  name: str

  @property
  def scanned(self) -> int:
    return self.config.num_layers

  @property
  def positions(self) -> int:
    return self.space.layout(self.name).length

  def trainable(self) -> Any:
    return prefix_lm.PrefixLMTrainable(self.config, self.space, (self.name,))

  def bare_config(self) -> Any:
    return dataclasses.replace(
      self.config, remat='none', attention='xla', loss_chunk=0
    )

  def work(self) -> flops_lib.Work:
    return flops_lib.of_layout(self.config, self.space.layout(self.name))

  def recomputation(self) -> float:
    return flops_lib.recomputation(self.config, self.space.layout(self.name))

  def kernel_pairs(self, parts: int) -> float:
    layout = self.space.layout(self.name)
    length = -(-layout.input_length // parts) * parts
    blocks = kernel_blocks.choose(length, layout.prefix_length, parts)
    run = kernel_blocks.run(length, layout.prefix_length, blocks)
    return float(run.sum()) * blocks.queries * blocks.keys / parts


@dataclasses.dataclass(frozen=True)
class SuperResolution:
  """Super-resolution at a unit.

  Attributes:
    config: sizes and choices.
    space: the tokenizers' grids.
    name: the unit's.
  """

  config: sr_config.SuperResolutionConfig
  space: Grids
  name: str

  @property
  def unit(self) -> upscaling.Upscaling:
    """The sizes."""
    return upscaling.Upscaling.parse(self.name)

  @property
  def scanned(self) -> int:
    return self.config.num_blocks

  @property
  def positions(self) -> int:
    frames, rows, columns = self.unit.latent(self.space.visual)
    return frames * rows * columns

  def trainable(self) -> Any:
    return super_resolution.SuperResolutionTrainable(
      self.config, self.space.visual, self.space.low_visual, (self.name,)
    )

  def bare_config(self) -> Any:
    return dataclasses.replace(self.config, remat='none', attention='xla')

  def work(self) -> flops_lib.Work:
    return super_resolution_work.of_grid(
      self.config,
      self.unit.latent(self.space.visual),
      self.space.visual.codebook_size,
      self.space.low_visual.codebook_size,
    )

  def recomputation(self) -> float:
    return super_resolution_work.recomputation(self.config, self.work())

  def kernel_pairs(self, parts: int) -> float:
    # Windows differ from layer to layer: by the shapes of each kernel.
    del parts
    return 0.0


def of(config: Any, space: Any, name: str) -> Subject:
  """The model of a config at a layout or unit of that name."""
  if isinstance(config, sr_config.SuperResolutionConfig):
    return SuperResolution(config, space, name)
  return PrefixLM(config, space, name)
