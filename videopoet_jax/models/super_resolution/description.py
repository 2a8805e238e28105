"""The model and its units as JSON, for checkpoints that describe themselves."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.core import descriptions
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import upscaling
from videopoet_jax.models.super_resolution import config as config_lib

KIND = 'super_resolution'


@dataclasses.dataclass(frozen=True)
class Description:
  """The description of a checkpoint.

  Attributes:
    config: sizes and choices of the model.
    visual: grid of the result's tokenizer.
    low_visual: grid of the condition's tokenizer.
    units: names of the sizes trained on.
    fingerprints: fingerprints of the tokenizers, 'visual' and 'low'.
  """

  config: config_lib.SuperResolutionConfig
  visual: specs.VisualSpec
  low_visual: specs.VisualSpec
  units: tuple[str, ...]
  fingerprints: Mapping[str, str]

  def upscalings(self) -> tuple[upscaling.Upscaling, ...]:
    """The sizes trained on."""
    return tuple(upscaling.Upscaling.parse(name) for name in self.units)


def describe(described: Description) -> dict[str, Any]:
  """JSON values: kind, config, visual, low_visual, units and fingerprints."""
  return {
    'kind': KIND,
    'config': dataclasses.asdict(described.config),
    'visual': descriptions.values(described.visual),
    'low_visual': descriptions.values(described.low_visual),
    'units': list(described.units),
    'fingerprints': dict(described.fingerprints),
  }


def read(description: Mapping[str, Any]) -> Description:
  """Inverse of `describe`.

  Args:
    description: contents of `checkpoint.json`; other keys are ignored.

  Raises:
    CheckpointError: it is of another kind, or a part is missing or unknown.
  """
  descriptions.check_kind(description, KIND)
  try:
    return Description(
      config_lib.from_description(description['config']),
      specs.VisualSpec(**description['visual']),
      specs.VisualSpec(**description['low_visual']),
      tuple(description['units']),
      dict(description['fingerprints']),
    )
  except (KeyError, TypeError) as error:
    raise errors.CheckpointError(
      'checkpoint.json does not describe super-resolution of this version: '
      f'{error}.'
    ) from error
