"""Compiled programs on disk, so that repeating a plan costs nothing.

The text and the memory of a program are stored, not the estimates derived from
them: a better estimate needs no second compilation.
"""

import dataclasses
import functools
import gzip
import hashlib
import importlib.metadata
import json
import os
import pathlib
from typing import Any

import jax

import videopoet_jax
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.parallel import compiler
from videopoet_jax.planning import compile as compile_lib

# Rooms that a train step depends on; a change of any file invalidates it.
TRAINING = ('core', 'parallel', 'layers', 'losses', 'models', 'training')
# Rooms that a generating program depends on.
GENERATION = (*TRAINING, 'inference')


def default_directory() -> pathlib.Path:
  """`$XDG_CACHE_HOME/videopoet_jax/plans`, or below `~/.cache`.

  Raises:
    ConfigError: the user has no home folder.
  """
  caches = storage.cache_folder()
  if caches is None:
    raise errors.ConfigError(
      'plans are kept in the home folder, and there is none; give --cache_dir '
      'or set XDG_CACHE_HOME'
    )
  return caches / 'plans'


@functools.cache
def source_fingerprint(rooms: tuple[str, ...] = TRAINING) -> str:
  """Hash of everything that programs depend on: files, libraries, options."""
  found = hashlib.sha256(jax.__version__.encode())
  found.update(os.environ.get(compiler.VARIABLE, '').encode())
  try:
    found.update(importlib.metadata.version('libtpu').encode())
  except importlib.metadata.PackageNotFoundError:
    pass
  root = pathlib.Path(videopoet_jax.__file__).parent
  for room in rooms:
    for path in sorted((root / room).rglob('*.py')):
      found.update(path.relative_to(root).as_posix().encode())
      found.update(path.read_bytes())
  return found.hexdigest()


def key(*parts: Any, rooms: tuple[str, ...] = TRAINING) -> str:
  """Name of an entry, from frozen dataclasses and plain values.

  Args:
    *parts: parts of the description.
    rooms: rooms that the program depends on.
  """
  text = repr((source_fingerprint(rooms), *parts))
  return hashlib.sha256(text.encode()).hexdigest()[:32]


def read(directory: pathlib.Path, name: str) -> compile_lib.Program | None:
  """Reads the program of a key; None if there is none that can be read."""
  path = directory / f'{name}.json.gz'
  try:
    with gzip.open(path, 'rt') as file:
      saved = json.load(file)
    memory = saved['memory']
    return compile_lib.Program(
      saved['text'],
      compile_lib.Memory(**memory) if memory else None,
      saved['needed'],
    )
  except (OSError, EOFError, ValueError, KeyError, TypeError):
    return None


def write(
  directory: pathlib.Path, name: str, program: compile_lib.Program
) -> None:
  """Writes a program atomically."""
  text = json.dumps(dataclasses.asdict(program))
  storage.write_whole(
    directory / f'{name}.json.gz', gzip.compress(text.encode(), 3)
  )
