"""The visual tokenizer as the subject of a plan: clips of one size.

Its convolutions can be compiled in two ways, so a plan's name has both the size
and the way: `visual_tokenizer/17x128x128/native`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from videopoet_jax.parallel import rules
from videopoet_jax.planning import flops as flops_lib
from videopoet_jax.planning import traced
from videopoet_jax.tokenizers.magvit2 import bundle
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.tokenizers.magvit2 import model as model_lib
from videopoet_jax.training import visual_tokenizer as training

KIND = 'visual_tokenizer'
# Ways to compute a convolution that a plan compares.
CONVOLUTIONS = ('native', 'taps')


@dataclasses.dataclass(frozen=True)
class Clips:
  """What a visual tokenizer is trained with.

  Attributes:
    recipe: weights and schedules of the losses.
  """

  recipe: training.VisualTokenizerRecipe = training.VisualTokenizerRecipe()


def name_of(clip: str, convolution: str) -> str:
  """The name of a plan; `clip` is FRAMESxHEIGHTxWIDTH."""
  return f'{KIND}/{clip}/{convolution}'


@dataclasses.dataclass(frozen=True)
class VisualTokenizer:
  """A visual tokenizer and clips of a size; see `subjects.Subject`.

  Attributes:
    config: sizes and choices.
    space: what it is trained with.
    name: see `name_of`.
  """

  config: config_lib.VisualTokenizerConfig
  space: Clips
  name: str

  @property
  def scanned(self) -> int:
    """Its depth has no scan."""
    return 0

  @property
  def remat(self) -> str:
    """It keeps every result for the backward pass."""
    return 'none'

  @property
  def rooms(self) -> tuple[str, ...]:
    """Rooms that its programs depend on, besides those of training."""
    return ('tokenizers',)

  @property
  def size(self) -> tuple[int, int, int]:
    """Frames, height and width of a clip."""
    _, clip, _ = self.name.split('/')
    frames, height, width = map(int, clip.split('x'))
    return frames, height, width

  @property
  def grid(self) -> tuple[int, int, int]:
    """Latent frames, rows and columns of a clip."""
    frames, rows, columns = self.config.spec.latent_shape(*self.size)
    return frames, rows, columns

  @property
  def positions(self) -> int:
    """Number of ids of a clip."""
    frames, rows, columns = self.grid
    return frames * rows * columns

  def trainable(self) -> Any:
    """The trainable for the training loop."""
    return training.VisualTokenizerTrainable(self.config, self.space.recipe)

  def example(self) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch of one clip, from which parameters get their shapes."""
    return self.batch_shapes(1)

  def parameters(self) -> Any:
    """Shapes of the tokenizer's parameters, boxed with their logical axes."""
    return jax.eval_shape(
      lambda key: bundle.init_params(self.config, key), jax.random.key(0)
    )

  def batch_shapes(
    self, rows: int, sharding: jax.sharding.Sharding | None = None
  ) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a training batch, pixels as media sets store them.

    Args:
      rows: number of clips.
      sharding: sharding of each array, or None.
    """
    video: Any = jax.ShapeDtypeStruct(
      (rows, *self.size, 3), jnp.uint8, sharding=sharding
    )
    return {'video': video}

  def bare_config(self) -> config_lib.VisualTokenizerConfig:
    """The config without fields that do not affect the update."""
    return dataclasses.replace(self.config, convolution='auto', dtype='float32')

  def work(self) -> flops_lib.Work:
    """FLOPs of the forward pass of the loss, of a clip."""
    trainable = self._counted().trainable()
    batch = self.example()
    params = jax.eval_shape(trainable.init, jax.random.key(0), batch)
    counted = traced.flops(
      lambda params, batch, step: trainable.loss(
        params, batch, jax.random.key(0), step, training.UNIT
      )[0],
      rules.unbox(params),
      batch,
      jax.ShapeDtypeStruct((), jnp.int32),
    )
    return flops_lib.Work(blocks=counted, attention=0.0, inputs=0.0, heads=0.0)

  def method_work(self, method: str) -> float:
    """FLOPs of a method of the network ('encode' or 'decode'), of a clip."""
    counted = self._counted()
    return traced.flops(
      counted.function(method), rules.unbox(counted.parameters()),
      self.method_input(method, 1),
    )  # fmt: skip

  def function(self, method: str) -> Any:
    """(params, ids or video) -> video or ids: a method of the network."""
    module = model_lib.VisualTokenizerModel(self.config)
    return lambda params, given: module.apply(
      {'params': params}, given, method=method
    )

  def method_input(self, method: str, rows: int) -> jax.ShapeDtypeStruct:
    """Shape of what a method takes: ids to decode, pixels to encode."""
    if method == 'decode':
      return jax.ShapeDtypeStruct((rows, *self.grid), jnp.int32)
    return jax.ShapeDtypeStruct((rows, *self.size, 3), jnp.float32)

  def recomputation(self) -> float:
    """Nothing is computed again."""
    return 0.0

  def kernel_pairs(self, parts: int) -> float:
    """There is no attention."""
    del parts
    return 0.0

  def _counted(self) -> 'VisualTokenizer':
    """The same, with convolutions whose padding can be told from frames."""
    config = dataclasses.replace(self.config, convolution='native')
    return dataclasses.replace(self, config=config)


def of(
  config: config_lib.VisualTokenizerConfig, space: Clips, name: str
) -> VisualTokenizer:
  """Returns the tokenizer of a plan's name, which decides `convolution`."""
  if name:
    config = dataclasses.replace(config, convolution=name.split('/')[2])
  return VisualTokenizer(config, space, name)
