"""The subject of a plan: a model, at one size of its inputs.

The planner uses models only through this module; the rest of the room does not
depend on which models there are.
"""

import dataclasses
from typing import Any, Protocol

import jax

from videopoet_jax.core import kernel_blocks
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import upscaling
from videopoet_jax.models.prefix_lm import config as prefix_lm_config
from videopoet_jax.models.super_resolution import config as sr_config
from videopoet_jax.planning import flops as flops_lib
from videopoet_jax.planning import super_resolution_work
from videopoet_jax.planning import visual_tokenizer as tokenizer_subject
from videopoet_jax.tokenizers.magvit2 import config as tokenizer_config
from videopoet_jax.training import prefix_lm
from videopoet_jax.training import super_resolution

Config = (
  prefix_lm_config.PrefixLMConfig
  | sr_config.SuperResolutionConfig
  | tokenizer_config.VisualTokenizerConfig
)


@dataclasses.dataclass(frozen=True)
class Grids:
  """The tokenizers' grids of a super-resolution model.

  Attributes:
    visual: grid of the result's tokenizer.
    low_visual: grid of the condition's tokenizer.
  """

  visual: specs.VisualSpec = specs.VisualSpec()
  low_visual: specs.VisualSpec = specs.VisualSpec()


Space = tasks.LayoutSpace | Grids | tokenizer_subject.Clips


class Subject(Protocol):
  """A model at one size."""

  @property
  def scanned(self) -> int:
    """Number of bodies of the scan over the model's depth; 0 without one."""

  @property
  def remat(self) -> str:
    """Name of the remat policy; 'none' for models that have none."""

  @property
  def rooms(self) -> tuple[str, ...]:
    """Rooms that its programs depend on, besides those of language models."""

  @property
  def positions(self) -> int:
    """Number of tokens of an example."""

  def trainable(self) -> Any:
    """The trainable for the training loop."""

  def example(self) -> Any:
    """Shapes of a batch of one for `Trainable.init`; None if it needs none."""

  def parameters(self) -> Any:
    """Shapes of the model's own parameters, boxed with their logical axes."""

  def batch_shapes(
    self, rows: int, sharding: jax.sharding.Sharding | None = None
  ) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a training batch.

    Args:
      rows: number of examples.
      sharding: sharding of each array, or None.
    """

  def bare_config(self) -> Any:
    """The config without fields that do not affect the update."""

  def work(self) -> flops_lib.Work:
    """FLOPs of an example."""

  def recomputation(self) -> float:
    """FLOPs that the backward pass may compute again, an example."""

  def kernel_pairs(self, parts: int) -> float:
    """Pairs of query and key that a fused kernel computes, a head.

    It counts whole blocks, so more than the mask admits; a chip's share.

    Args:
      parts: number of chips that the mesh splits a sequence over.
    """


class _Tokens:
  """What models of tokens have in common: a scan, and a named unit.

  Attributes:
    config: sizes and choices.
    name: name of the layout or unit.
  """

  config: Any
  name: str

  @property
  def remat(self) -> str:
    return self.config.remat

  @property
  def rooms(self) -> tuple[str, ...]:
    return ()

  def trainable(self) -> Any:
    raise NotImplementedError

  def example(self) -> Any:
    return None

  def parameters(self) -> Any:
    return jax.eval_shape(self.trainable().init, jax.random.key(0))

  def batch_shapes(
    self, rows: int, sharding: jax.sharding.Sharding | None = None
  ) -> dict[str, jax.ShapeDtypeStruct]:
    return self.trainable().batch_shapes(self.name, rows, sharding)


@dataclasses.dataclass(frozen=True)
class PrefixLM(_Tokens):
  """The language model at a layout.

  Attributes:
    config: sizes and choices.
    space: vocabulary and grids that layouts are built from.
    name: name of the layout.
  """

  config: prefix_lm_config.PrefixLMConfig
  space: tasks.LayoutSpace
  name: str

  @property
  def scanned(self) -> int:
    return self.config.num_layers if self.config.scan_layers else 0

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
class SuperResolution(_Tokens):
  """Super-resolution at a unit.

  Attributes:
    config: sizes and choices.
    space: the tokenizers' grids.
    name: name of the unit.
  """

  config: sr_config.SuperResolutionConfig
  space: Grids
  name: str

  @property
  def unit(self) -> upscaling.Upscaling:
    """The sizes of the unit."""
    return upscaling.Upscaling.parse(self.name)

  @property
  def scanned(self) -> int:
    return self.config.num_blocks if self.config.scan_layers else 0

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
  """Returns the model of a config at a layout, unit or clip of that name."""
  if isinstance(config, sr_config.SuperResolutionConfig):
    return SuperResolution(config, space, name)
  if isinstance(config, tokenizer_config.VisualTokenizerConfig):
    return tokenizer_subject.of(config, space, name)
  return PrefixLM(config, space, name)
