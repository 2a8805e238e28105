"""What configs of a name, single settings changed, have in common."""

from collections.abc import Collection, Mapping
import dataclasses
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.core import value_types


def check(
  config: type,
  what: str,
  name: str,
  names: Collection[str],
  changes: Mapping[str, Any],
) -> None:
  """Checks what a preset is asked for with.

  Args:
    config: dataclass of the preset's settings.
    what: presets these are, for the message: 'model'.
    name: of the preset.
    names: of all presets.
    changes: settings to be changed, by field.

  Raises:
    ConfigError: the name or a field is not known, or a value is of another
      type than its field.
  """
  if name not in names:
    hint = errors.near_names(name, names)
    raise errors.ConfigError(f'no {what} preset {name!r}{hint}.')
  fields = [field.name for field in dataclasses.fields(config)]
  for field in changes:
    if field not in fields:
      hint = errors.near_names(field, fields)
      raise errors.ConfigError(
        f'{config.__name__} has no field {field!r}{hint}.'
      )
    annotation = value_types.field_types(config)[field]
    value_types.check(f'{config.__name__}.{field}', changes[field], annotation)
