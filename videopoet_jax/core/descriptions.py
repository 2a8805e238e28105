"""Dataclasses as JSON values; fields added later keep earlier hashes valid.

Checkpoints, token data sets and fingerprints hold the values of configs. A
field that joins a config later is declared by `later`: while it is at its
default, it is left out of these values. So a folder that was written before
the field existed still has the fingerprint and the description that this
version computes.
"""

from collections.abc import Mapping
import copy
import dataclasses
from typing import Any

from videopoet_jax.core import errors

_LATER = 'later'


def later(default: Any) -> Any:
  """Declares a dataclass field that earlier folders do not have.

  Args:
    default: value of the field, immutable; it must mean what versions without
      the field did.
  """
  return dataclasses.field(default=default, metadata={_LATER: True})


def values(config: Any) -> dict[str, Any]:
  """Returns what `dataclasses.asdict` does, without later fields at defaults.

  Args:
    config: a dataclass, which may hold others, also in tuples, lists and dicts
      (but not in named tuples).
  """
  return {
    field.name: _value(getattr(config, field.name))
    for field in dataclasses.fields(config)
    if not (
      field.metadata.get(_LATER)
      and getattr(config, field.name) == field.default
    )
  }


def _value(value: Any) -> Any:
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return values(value)
  if isinstance(value, dict):
    return {_value(key): _value(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return type(value)(_value(item) for item in value)
  return copy.deepcopy(value)


def check_kind(description: Mapping[str, Any], kind: str) -> None:
  """Raises CheckpointError unless a description is of a kind."""
  found = description.get('kind')
  if found != kind:
    raise errors.CheckpointError(
      f'the checkpoint is of kind {found!r}; a {kind!r} checkpoint is needed.'
    )
