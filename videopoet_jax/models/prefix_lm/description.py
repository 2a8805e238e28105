"""The model and its layouts as JSON, for checkpoints that describe themselves.

A checkpoint holds the whole `LayoutSpace`, a user's own tasks included, so
generation needs neither gin files nor the training data.
"""

from collections.abc import Mapping
from typing import Any

from videopoet_jax.core import descriptions
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.models.prefix_lm import config as config_lib

KIND = 'prefix_lm'


def describe(
  config: config_lib.PrefixLMConfig,
  space: tasks.LayoutSpace,
  layout_names: tuple[str, ...],
) -> dict[str, Any]:
  """JSON values: kind, config, vocabulary, space and layouts."""
  whole = descriptions.values(space)
  if config.is_earlier:
    del whole['features']
  return {
    'kind': KIND,
    'config': config_lib.to_description(config),
    'vocabulary': whole.pop('vocabulary'),
    'space': whole,
    'layouts': list(layout_names),
  }


def _tupled(value: Any) -> Any:
  """Converts lists, which JSON makes from tuples, back to tuples."""
  if isinstance(value, (list, tuple)):
    return tuple(_tupled(item) for item in value)
  return value


def _build(kind: type, described: Mapping[str, Any]) -> Any:
  return kind(**{name: _tupled(value) for name, value in described.items()})


def read(
  description: Mapping[str, Any],
) -> tuple[config_lib.PrefixLMConfig, tasks.LayoutSpace, tuple[str, ...]]:
  """Inverse of `describe`.

  Args:
    description: contents of `checkpoint.json`; other keys are ignored.

  Returns:
    Config, layout space and the names of the layouts trained on.

  Raises:
    CheckpointError: it is of another kind, or a part is missing or unknown.
  """
  descriptions.check_kind(description, KIND)
  try:
    config = config_lib.from_description(description['config'])
    space = description['space']
    return (
      config,
      tasks.LayoutSpace(
        vocabulary=_build(vocabulary_lib.Vocabulary, description['vocabulary']),
        visual=_build(specs.VisualSpec, space['visual']),
        audio=_build(specs.AudioSpec, space['audio']),
        text_slots=space['text_slots'],
        templates=tuple(
          _build(tasks.TaskTemplate, t) for t in space['templates']
        ),
        features=_tupled(space.get('features', tuple(tasks.FEATURES))),
      ),
      tuple(description['layouts']),
    )
  except (KeyError, TypeError) as error:
    raise errors.CheckpointError(
      f'checkpoint.json does not describe a prefix LM of this version: {error}.'
    ) from error
