"""How large a demo is; `gin/runs/demo.gin` and its like hold the numbers."""

from collections.abc import Mapping
import dataclasses

import gin

from videopoet_jax.core import config as config_lib
from videopoet_jax.core import errors
from videopoet_jax.core import gin_state
from videopoet_jax.shapes import config as shapes_config


@gin.configurable
@dataclasses.dataclass(frozen=True)
class DemoProfile:
  """Sizes, run files and planned times of the chain.

  Attributes:
    level: level of shapes in motion, a key of `shapes.config.LEVELS`.
    train: number of clips of the training split.
    validation: number of clips of the validation split.
    visual_tokenizer: gin files of that training; later ones win.
    audio_tokenizer: gin files of that training.
    prefix_lm: gin files of the language model's training.
    condition_share: share of the clips whose masked and structure versions
      are encoded too.
    text_size: largest number of ids of the text tokenizer.
    reconstructed: number of held-out clips that the tokenizers are scored on.
    protocol: gin files of the protocol that scores the model.
    batch_size: number of samples generated at once.
    examples: number of samples of a task shown in the report.
    planned: seconds of each stage on two quiet cores, for the time left.
  """

  level: str = 'standard'
  train: int = 12_000
  validation: int = 512
  visual_tokenizer: tuple[str, ...] = ()
  audio_tokenizer: tuple[str, ...] = ()
  prefix_lm: tuple[str, ...] = ()
  condition_share: float = 1.0
  text_size: int = 128
  reconstructed: int = 256
  protocol: tuple[str, ...] = ()
  batch_size: int = 64
  examples: int = 6
  planned: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    """Raises errors.ConfigError where a value makes no sense."""
    for name in ('visual_tokenizer', 'audio_tokenizer', 'prefix_lm', 'protocol'):
      files = getattr(self, name)
      if isinstance(files, str):
        raise errors.ConfigError(
          f'DemoProfile.{name} is the string {files!r}; expected a list of '
          f'gin files: [{files!r}].'
        )
      object.__setattr__(self, name, tuple(files))
    errors.check_choice('DemoProfile.level', self.level, shapes_config.LEVELS)
    errors.check_range(
      self, 'train', 'validation', 'text_size', 'batch_size', 'reconstructed',
      least=1,
    )  # fmt: skip
    errors.check_range(self, 'examples')
    errors.check_range(self, 'condition_share', most=1)

  @property
  def shapes(self) -> shapes_config.ShapesConfig:
    """What clips of the level hold."""
    return shapes_config.ShapesConfig.of_level(self.level)


def load(name: str) -> DemoProfile:
  """Reads `gin/runs/<name>.gin`, or a file of the user's own.

  Args:
    name: `demo`, `demo_full`, or the path of a gin file.

  Raises:
    ConfigError: there is no such file, or it does not fit.
  """
  path = name if name.endswith('.gin') else f'gin/runs/{name}.gin'
  with gin_state.isolated():
    config_lib.parse([path])
    return config_lib.call(DemoProfile)
