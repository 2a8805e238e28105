"""How large a demo is; `gin/runs/demo.gin` and its like hold the figures."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import gin

from videopoet_jax.core import config as config_lib
from videopoet_jax.core import errors
from videopoet_jax.data.shapes import config as shapes_config
from videopoet_jax.evaluation import measures
from videopoet_jax.evaluation import protocol
from videopoet_jax.inference import sampling as sampling_lib

MIN_SAMPLES = 16


@gin.configurable
@dataclasses.dataclass(frozen=True)
class DemoProfile:
  """Sizes, run files and planned times of the chain.

  Attributes:
    level: of shapes in motion, a key of `shapes.config.LEVELS`.
    train: clips of the training split.
    validation: clips of the validation split.
    visual_tokenizer: gin files of that training, later ones win; likewise:
    audio_tokenizer: of the audio tokenizer.
    prefix_lm: of the language model.
    condition_share: share of the clips whose masked and structure versions
      are encoded too.
    text_size: most ids of the text tokenizer.
    samples: held-out conditions a task; the scoreboard asks for 256.
    unconditional_samples: samples without a condition: more, since their
      spread is measured.
    batch_size: samples generated at once.
    sampling: by task, fields of `inference.sampling.SamplingConfig`;
      'default' is for the tasks without their own.
    scored: by task, the options of the layout that is scored
      ('condition=3'); the task's plain layout unless given.
    examples: samples of a task shown in the report.
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
  samples: int = 256
  unconditional_samples: int = 512
  batch_size: int = 64
  sampling: Mapping[str, Mapping[str, Any]] = dataclasses.field(
    default_factory=dict
  )
  scored: Mapping[str, str] = dataclasses.field(default_factory=dict)
  examples: int = 6
  planned: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    """Raises errors.ConfigError where a value makes no sense."""
    for name in ('visual_tokenizer', 'audio_tokenizer', 'prefix_lm'):
      files = getattr(self, name)
      if isinstance(files, str):
        raise errors.ConfigError(
          f'DemoProfile.{name} is the string {files!r}; expected a list of '
          f'gin files: [{files!r}].'
        )
      object.__setattr__(self, name, tuple(files))
    errors.check_choice('DemoProfile.level', self.level, shapes_config.LEVELS)
    for name in ('samples', 'unconditional_samples'):
      if getattr(self, name) < MIN_SAMPLES:
        raise errors.ConfigError(
          f'DemoProfile.{name} is {getattr(self, name)}; it must be at least '
          f'{MIN_SAMPLES}.'
        )
    errors.check_range(
      self, 'train', 'validation', 'text_size', 'batch_size', least=1
    )
    errors.check_range(self, 'examples')
    errors.check_range(self, 'condition_share', most=1)
    for field in ('sampling', 'scored'):
      for task in getattr(self, field):
        if task not in (*measures.TASKS, 'default'):
          hint = errors.near_names(task, measures.TASKS)
          raise errors.ConfigError(
            f'DemoProfile.{field}: there is no task {task!r}{hint}.'
          )
    for task in measures.TASKS:
      self.sampling_of(task)

  @property
  def shapes(self) -> shapes_config.ShapesConfig:
    """What clips hold."""
    return shapes_config.ShapesConfig.of_level(self.level)

  def count(self, task: str) -> int:
    """Samples of a task."""
    if task == 'unconditional':
      return self.unconditional_samples
    return self.samples

  def sampling_of(self, task: str) -> sampling_lib.SamplingConfig:
    """How the ids of a task are drawn."""
    return protocol.sampling_of(self.sampling, task, 'DemoProfile.sampling')

  def layout_name(self, task: str, clip: tuple[int, int, int]) -> str:
    """Name of the layout of a task that is scored."""
    frames = 1 if task == 'text_to_image' else clip[0]
    name = f'{task}/{frames}x{clip[1]}x{clip[2]}'
    options = self.scored.get(task, '')
    return f'{name}/{options}' if options else name


def load(name: str) -> DemoProfile:
  """Reads `gin/runs/<name>.gin`, or a file of the user's own.

  Args:
    name: `demo`, `demo_full`, or the path of a gin file.

  Raises:
    ConfigError: there is no such file, or it does not fit.
  """
  # gin takes no configurables once a file is parsed: all stages' come before.
  from videopoet_jax.jobs import train

  del train
  path = name if name.endswith('.gin') else f'gin/runs/{name}.gin'
  config_lib.parse([path])
  return config_lib.call(DemoProfile)
