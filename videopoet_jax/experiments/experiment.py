"""Parts and settings of a run, and the configs that gin may bind."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

import gin

from videopoet_jax.core import errors
from videopoet_jax.core import low_rank as low_rank_lib
from videopoet_jax.layers import embeddings
from videopoet_jax.models.prefix_lm import config as prefix_lm_config
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.tokenizers.magvit2 import config as magvit2_config
from videopoet_jax.tokenizers.magvit2 import (
  discriminator as magvit2_discriminator,
)
from videopoet_jax.tokenizers.soundstream import config as soundstream_config
from videopoet_jax.training import adversarial
from videopoet_jax.training import audio_tokenizer
from videopoet_jax.training import batches as batches_lib
from videopoet_jax.training import loop_config
from videopoet_jax.training import optimizers
from videopoet_jax.training import schedules
from videopoet_jax.training import trainable
from videopoet_jax.training import visual_tokenizer
from videopoet_jax.training import watchdog as watchdog_lib

# The classes themselves stay free of gin, which binds their fields.
MeshConfig = gin.external_configurable(mesh_lib.MeshConfig)
ScheduleConfig = gin.external_configurable(schedules.ScheduleConfig)
DiscriminatorOptimizerConfig = gin.external_configurable(
  optimizers.DiscriminatorOptimizerConfig
)
OptimizerConfig = gin.external_configurable(optimizers.OptimizerConfig)
LowRankConfig = gin.external_configurable(low_rank_lib.LowRankConfig)
LoopConfig = gin.external_configurable(loop_config.LoopConfig)
WatchdogConfig = gin.external_configurable(watchdog_lib.WatchdogConfig)
VisualTokenizerConfig = gin.external_configurable(
  magvit2_config.VisualTokenizerConfig
)
VisualTokenizerRecipe = gin.external_configurable(
  visual_tokenizer.VisualTokenizerRecipe
)
DiscriminatorConfig = gin.external_configurable(
  magvit2_discriminator.DiscriminatorConfig
)
AdversarialRecipe = gin.external_configurable(adversarial.AdversarialRecipe)
SoundStreamConfig = gin.external_configurable(
  soundstream_config.SoundStreamConfig
)
AudioTokenizerRecipe = gin.external_configurable(
  audio_tokenizer.AudioTokenizerRecipe
)
PrefixLMConfig = gin.external_configurable(prefix_lm_config.PrefixLMConfig)
prefix_lm_preset = gin.external_configurable(presets.preset, 'prefix_lm_preset')
audio_tokenizer_tiny = gin.external_configurable(
  soundstream_config.tiny, 'audio_tokenizer_tiny'
)
PlaceLimits = gin.external_configurable(embeddings.PlaceLimits)


@dataclasses.dataclass(frozen=True)
class Parts:
  """The model and the data of a run.

  Attributes:
    trainable: the model and its loss.
    batches: the training data.
    validation: data to score during training, None for none.
    folders: folders to copy beside the checkpoints, by name, so that a
      checkpoint is self-contained; or objects with `save(directory)`.
    notes: lines for the user about them.
    finish: function of the parameters for inference and the run's folder,
      called after the run: it makes tokenizers loadable from the folder.
  """

  trainable: trainable.Trainable
  batches: batches_lib.Batches
  validation: batches_lib.ValidationBatches | None = None
  folders: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  notes: Sequence[str] = ()
  finish: Callable[[Any, pathlib.Path], None] | None = None


@dataclasses.dataclass(frozen=True, repr=False)
class Experiment:
  """A run to be trained, as plain objects.

  Attributes:
    parts: model and data.
    loop: length, saving and logging.
    optimizer: the optimizer and its rates.
    mesh: devices along each axis; all of them for data by default.
    rules: logical to mesh axes.
    watchdog: when the run counts as hung.
    low_rank: adapters to train instead of all parameters; they require
      `init_from`.
    config_text: content of `config.gin` in the run's folder; none if empty.
  """

  parts: Parts
  loop: loop_config.LoopConfig = loop_config.LoopConfig()
  optimizer: optimizers.OptimizerConfig = optimizers.OptimizerConfig()
  mesh: mesh_lib.MeshConfig = mesh_lib.MeshConfig()
  rules: rules_lib.Rules = rules_lib.STANDARD
  watchdog: watchdog_lib.WatchdogConfig = watchdog_lib.WatchdogConfig()
  low_rank: low_rank_lib.LowRankConfig | None = None
  config_text: str = ''

  def __repr__(self) -> str:
    """In short: what is trained, for how long."""
    return (
      f'Experiment({self.parts.trainable.name}, {self.loop.total_steps} steps, '
      f'{self.optimizer.name})'
    )


def check_numbers(
  factory: str, **least: tuple[int | Sequence[float] | None, float]
) -> None:
  """Checks numbers that a factory receives, before it opens anything.

  Args:
    factory: gin's name of the factory.
    **least: by parameter, its value (a number, several, or None) and the
      smallest allowed value.

  Raises:
    ConfigError: a number is smaller.
  """
  for name, (given, smallest) in least.items():
    numbers = given if isinstance(given, Sequence) else (given,)
    if any(number is not None and number < smallest for number in numbers):
      raise errors.ConfigError(
        f'{factory}.{name} is {given}; it must be at least {smallest}'
      )
