"""A request to a cascade: stages, scale and settings of each stage."""

from collections.abc import Mapping, Sequence
import dataclasses
import os
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.inference.super_resolution import cascade as cascade_lib
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import long_video
from videopoet_jax.inference.super_resolution import mask_schedule

Path = str | os.PathLike[str]

# Flag behind `--upscale_` -> field of `UpscaleConfig`, kind of value, help.
SETTINGS: Mapping[str, tuple[str, Any, str]] = {
  'steps': ('num_steps', int, 'steps of the masked decoding'),
  'schedule': (
    'schedule',
    str,
    f'how much is kept when: {", ".join(mask_schedule.SCHEDULES)}',
  ),
  'temperature': ('temperature', float, '0 takes the likeliest'),
  'confidence_temperature': (
    'confidence_temperature',
    float,
    'noise on what is kept first',
  ),
  'text_guidance': ('text_guidance', float, 'weight of the text; 1 is none'),
  'low_guidance': (
    'low_guidance',
    float,
    'weight of the smaller clip; 1 is none',
  ),
  'overlap': ('overlap', float, 'share of a tile over its neighbour'),
  'decode_from': (
    'decode_from',
    str,
    'what becomes pixels or goes to the next stage: '
    + ', '.join(config_lib.DECODE_FROM),
  ),
}


@dataclasses.dataclass(frozen=True)
class Request:
  """The request for super-resolution.

  Attributes:
    folders: checkpoint folders, one a stage, in the order they run.
    scale: scale that all of them together must have; 0 for any.
    settings: fields of `UpscaleConfig`; a value for all stages or one a stage.
    decoder: decoder of the last stage, see `Upscaler.with_decoder`; '' for its
      own.
  """

  folders: tuple[Path, ...]
  scale: int = 0
  settings: Mapping[str, tuple[Any, ...]] = dataclasses.field(
    default_factory=dict
  )
  decoder: Path = ''

  def configs(self) -> tuple[config_lib.UpscaleConfig, ...]:
    """One config a stage: the paper's with changed settings.

    Raises:
      ConfigError: a setting has neither one value nor one a stage, or an
        invalid one.
    """
    number = len(self.folders)
    changes: list[dict[str, Any]] = [{} for _ in range(number)]
    for field, values in self.settings.items():
      if len(values) not in (1, number):
        flag = next(f for f, (name, *_) in SETTINGS.items() if name == field)
        raise errors.ConfigError(
          f'--upscale_{flag} has {len(values)} values for {number} stages; '
          f'give 1 for all, or {number}.'
        )
      for index in range(number):
        changes[index][field] = values[index % len(values)]
    return tuple(
      dataclasses.replace(config_lib.stage(index), **change)
      for index, change in enumerate(changes)
    )

  def open(self, text_encoder: Path = '') -> cascade_lib.Cascade:
    """Opens the models.

    Args:
      text_encoder: see `Upscaler.load`.

    Raises:
      UserError: a model cannot be used, or the scale is wrong.
    """
    self.configs()
    cascade = cascade_lib.Cascade.load(self.folders, text_encoder)
    if self.decoder:
      cascade = cascade.with_decoder(self.decoder)
    if self.scale:
      cascade.check_scale(self.scale)
    return cascade

  def record(self, has_text: bool) -> dict[str, Any]:
    """Returns JSON values to keep beside the samples.

    Args:
      has_text: whether the stages were given a text; without one the guidance
        on it is recorded as null.
    """
    stages = [dataclasses.asdict(config) for config in self.configs()]
    if not has_text:
      for stage in stages:
        stage['text_guidance'] = None
    return {
      'super_resolution': [str(folder) for folder in self.folders],
      'upscale_decoder': str(self.decoder),
      'upscale': stages,
    }


def check_acting(
  request: Request,
  cascade: cascade_lib.Cascade,
  texts: Sequence[str],
  size: tuple[int, int, int],
) -> None:
  """Checks that every given setting changes something.

  Args:
    request: the request.
    cascade: its models, opened.
    texts: texts given to them.
    size: frames, height and width of the clips to upscale, in pixels.

  Raises:
    ConfigError: a setting cannot act in any stage.
  """
  configs = request.configs()
  if 'text_guidance' in request.settings and not texts:
    _refuse('text_guidance', 'there is no text')
  for flag in ('schedule', 'confidence_temperature'):
    if flag in request.settings and all(c.num_steps == 1 for c in configs):
      _refuse(flag, 'a single step decides all ids at once')
  if 'overlap' in request.settings:
    frames, height, width = size
    tiled = []
    for stage, config in zip(cascade.stages, configs, strict=True):
      length = long_video.piece_of(stage, frames)
      grid = stage.grid(length, height, width)
      tiled.append(len(stage.tiles(grid, config.overlap)) > 1)
      height, width = height * stage.scale, width * stage.scale
    if not any(tiled):
      _refuse('overlap', 'no clip is larger than a stage was trained on')


def _refuse(flag: str, reason: str) -> None:
  raise errors.ConfigError(
    f'--upscale_{flag} cannot act: {reason}; leave it out.'
  )
