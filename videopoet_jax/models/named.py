"""Checks shared by presets: configs with a name and changed settings."""

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
  """Checks the name and the changed fields of a preset.

  Args:
    config: dataclass of the preset's settings.
    what: kind of preset, for the message: 'model'.
    name: name of the preset.
    names: names of all presets.
    changes: changed settings, by field.

  Raises:
    ConfigError: the name or a field is not known, or a value does not match its
      field's type.
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
