"""`checkpoint.json`: the only description of a checkpoint folder."""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import json
import pathlib
from typing import Any, TypeVar

from videopoet_jax.core import errors
from videopoet_jax.core import storage

FILE_NAME = 'checkpoint.json'
FORMAT_VERSION = 1

_Config = TypeVar('_Config')


def write_description(
  directory: pathlib.Path, description: Mapping[str, Any]
) -> None:
  """Writes a folder's description, whole or not at all.

  Args:
    directory: the folder; made if need be.
    description: JSON values; must hold `kind`, what the folder is.

  Raises:
    ValueError: if `kind` is missing.
    CheckpointError: if the folder cannot be written.
  """
  if 'kind' not in description:
    raise ValueError('a description must hold a kind')
  text = json.dumps(
    {'format_version': FORMAT_VERSION, **description}, indent=2, sort_keys=True
  )
  with writing(directory):
    storage.write_whole(directory / FILE_NAME, text + '\n')


@contextlib.contextmanager
def writing(directory: pathlib.Path) -> Iterator[None]:
  """Turns an OSError into a CheckpointError that names a folder."""
  try:
    yield
  except OSError as error:
    raise errors.CheckpointError(
      f'cannot write the checkpoint folder {directory}: '
      f'{storage.failure(error)}; make room, or give a folder that can be '
      'written.'
    ) from error


def begin(directory: pathlib.Path) -> None:
  """Makes a folder, which counts as unfinished until it is described again.

  Raises:
    CheckpointError: it cannot be written.
  """
  with writing(directory):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / FILE_NAME).unlink(missing_ok=True)


def read_description(
  directory: pathlib.Path, kind: str | None = None
) -> dict[str, Any]:
  """Reads a folder's description.

  Args:
    directory: the folder.
    kind: required kind; None accepts any.

  Returns:
    The description given to `write_description`, and `format_version`.

  Raises:
    CheckpointError: if the folder is missing, empty, half written, of another
      kind or of a newer format.
  """
  path = directory / FILE_NAME
  if not directory.is_dir():
    raise errors.CheckpointError(
      f'{directory} is not a folder; give the folder of a checkpoint.'
    )
  if not path.is_file():
    state = 'half written' if any(directory.iterdir()) else 'empty'
    raise errors.CheckpointError(
      f'the checkpoint folder {directory} is {state}: it has no {FILE_NAME}.'
      ' Give a finished checkpoint, or write it again.'
    )
  try:
    description = json.loads(path.read_text(encoding='utf-8'))
    found, version = description['kind'], description['format_version']
  except (ValueError, KeyError, TypeError) as error:
    raise errors.CheckpointError(
      f'{path} is not a checkpoint description; write the checkpoint again.'
    ) from error
  if not isinstance(version, int) or version > FORMAT_VERSION:
    raise errors.CheckpointError(
      f'{path} has format version {version}; this version reads up to'
      f' {FORMAT_VERSION}. Update videopoet_jax.'
    )
  if kind is not None and found != kind:
    raise errors.CheckpointError(
      f'the checkpoint folder {directory} holds a {found!r}; a {kind!r} is'
      ' needed here.'
    )
  return description


def read_config(
  config_class: type[_Config], description: Mapping[str, Any], what: str
) -> _Config:
  """Returns the config that `dataclasses.asdict` described.

  Args:
    config_class: a dataclass.
    description: field names to values, as read from `checkpoint.json`.
    what: name of the model, for messages.

  Raises:
    CheckpointError: if a field is not known to this version.
  """
  known = {field.name for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
  unknown = sorted(set(description) - known)
  if unknown:
    raise errors.CheckpointError(
      f'the {what} was written with unknown settings {unknown}; it needs a '
      'newer version of videopoet_jax.'
    )
  return config_class(**description)
