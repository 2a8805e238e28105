"""Reads gin files and bindings.

gin is bound at the edge: jobs call `parse` once and then factories with
`call`. What gin raises for a user's mistake becomes a `ConfigError` of one
line that names the binding and the file; `core.bindings` checks the values.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import contextlib
import inspect
import os
import pathlib
import re
import tokenize
from typing import Any, TypeVar

import gin
import gin.config as gin_config
import gin.resource_reader

from videopoet_jax.core import bindings as bindings_lib
from videopoet_jax.core import errors
from videopoet_jax.core import paths
from videopoet_jax.core import storage

_Result = TypeVar('_Result')

_LOCATION = re.compile(
  r'\n\s+In (?:file "(?P<file>.*)",|bindings string)'
  r' line (?P<line>\d+)\n\s+(?P<text>.*)'
)
_UNKNOWN = re.compile(r"No configurable matching '(?P<name>[^']+)'")
_UNKNOWN_REFERENCE = re.compile(
  r"No configurable matching reference '@(?P<name>[^'(]+)(?:\(\))?'"
)
_UNKNOWN_PARAMETER = re.compile(
  r"Configurable '(?P<name>[^']+)' doesn't have a parameter named "
  r"'(?P<parameter>[^']+)'"
)
_UNREADABLE = re.compile(r'Unable to open file: (?P<name>.+?)\. Searched')
_REQUIRED = re.compile(r'(?P<name>\S+) set to `%gin\.REQUIRED`')
_UNBOUND_MACRO = re.compile(r"No bindings specified for '(?P<name>[^']+)'")
_REQUIRED_IN_CALL = re.compile(
  r'Required bindings for `(?P<name>[^`]+)` not provided in config: '
  r'\[(?P<parameters>[^\]]*)\]'
)


# What gin raises for a mistake of the user's.
_GIN_RAISES = (
  AttributeError,
  ImportError,
  LookupError,
  OSError,
  RuntimeError,
  TypeError,
  ValueError,
)


def split_arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
  """Takes the `--gin.NAME=VALUE` flags out of a command line.

  Args:
    argv: the arguments behind the job's name.

  Returns:
    The bindings (`NAME = VALUE`), and the other arguments in their order.

  Raises:
    ConfigError: a flag has no `=`.
  """
  bindings, rest = [], []
  for argument in argv:
    if not argument.startswith('--gin.'):
      rest.append(argument)
      continue
    name, equals, value = argument.removeprefix('--gin.').partition('=')
    if not equals or not name:
      raise errors.ConfigError(
        f'{argument!r} binds nothing: write --gin.NAME=VALUE, for example '
        '--gin.Optimizer.learning_rate=1e-3'
      )
    bindings.append(f'{name} = {value}')
  return bindings, rest


def as_lines(bindings: Iterable[str] | Mapping[str, Any]) -> list[str]:
  """Bindings as `NAME = VALUE` each, of such lines or of values by name."""
  if isinstance(bindings, Mapping):
    return [f'{name} = {value!r}' for name, value in bindings.items()]
  return list(bindings)


def parse(
  gin_files: Iterable[str] = (),
  bindings: Iterable[str] = (),
  task_files: Iterable[str] = (),
  *,
  finalize: bool = True,
) -> None:
  """Replaces the gin configuration by that of files and bindings.

  Later ones win: first `gin_files`, then `task_files`, then `bindings`. A file
  is looked for in the working directory, then among the shipped files; an
  include in the working directory, then beside the file that includes it, then
  among the shipped files. The configurables have to be imported before.

  Args:
    gin_files: paths or include strings (`gin/runs/demo.gin`).
    bindings: `NAME = VALUE` each, in gin's syntax.
    task_files: paths or include strings, one task a file; modules beside a task
      file can be imported in it.
    finalize: whether these are all files. If not, the configuration stays open
      to further files, and values are not compared with their types yet.

  Raises:
    ConfigError: a file is missing, a name is unknown, a value does not parse
      or is of another type than its parameter, something marked
      `%gin.REQUIRED` is left open, or a macro of `bindings` is used nowhere.
  """
  root = paths.assets_root()
  bindings = tuple(bindings)
  read_includes(root)
  gin.clear_config()
  for name in gin_files:
    path = paths.resolve(name, root)
    with _one_line_errors(str(name)):
      gin.parse_config_file(str(storage.absolute(path)))
  for name in task_files:
    path = paths.resolve(name, root)
    with _one_line_errors(str(name)), paths.importable(path.parent):
      gin.parse_config_file(str(storage.absolute(path)))
  for binding in bindings:
    with _one_line_errors(f'binding {binding!r}'):
      gin.parse_config(binding)
  if not finalize:
    return
  with _one_line_errors('the configuration'):
    gin.finalize()
    bindings_lib.check_types()
    bindings_lib.check_used(bindings)


def call(
  function: Callable[..., _Result], *args: Any, **kwargs: Any
) -> _Result:
  """Calls a configurable; a parameter left open is a `ConfigError`.

  The configs that the call uses are checked first, before data are opened.
  """
  bindings_lib.build_configs(function)
  try:
    return function(*args, **kwargs)
  except RuntimeError as error:
    match = _REQUIRED_IN_CALL.search(str(error))
    if match is None:
      raise
    names = [p.strip(" '") for p in match['parameters'].split(',')]
    flags = ' '.join(f'--gin.{match["name"]}.{n}=VALUE' for n in names)
    raise errors.ConfigError(
      f'{match["name"]} needs {", ".join(names)}: bind it in a gin file or '
      f'with {flags}'
    ) from error


def text() -> str:
  """Returns the whole configuration as gin text, to be kept with a run."""
  return gin.config_str()


def read_includes(root: pathlib.Path | None = None) -> None:
  """Sets how gin finds and opens the files that it reads.

  gin's reader of package resources takes an importable folder `tasks/` for a
  package and fails on it with a TypeError. Readers of remote file systems that
  other libraries register are kept.

  Args:
    root: folder of the shipped files, `assets_root()` unless given.
  """
  replaced = (open, gin.resource_reader.system_path_reader, _open)
  gin_config._FILE_READERS[:] = [
    reader for reader in gin_config._FILE_READERS if reader[0] not in replaced
  ]
  gin_config._FILE_READERS.insert(0, (_open, _is_file))
  gin_config._LOCATION_PREFIXES = ['', str(root or paths.assets_root())]


def _is_file(name: str) -> bool:
  return storage.path(name).is_file()


# Files that are being read, the outermost first.
_open_files: list[str] = []


@contextlib.contextmanager
def _open(name: str) -> Iterator[Any]:
  """Opens a gin file; meanwhile includes are looked for beside it, too."""
  identity = name if storage.is_remote(name) else os.path.realpath(name)
  if identity in _open_files:
    raise errors.ConfigError(
      f'{name} is included by itself: {" -> ".join((*_open_files, identity))}; '
      'take one of these includes out'
    )
  before = gin_config._LOCATION_PREFIXES
  first, *_, last = before
  gin_config._LOCATION_PREFIXES = [first, os.path.dirname(name), last]
  _open_files.append(identity)
  try:
    with storage.path(name).open(encoding='utf-8') as file:
      yield file
  finally:
    _open_files.pop()
    gin_config._LOCATION_PREFIXES = before


@contextlib.contextmanager
def _one_line_errors(source: str) -> Iterator[None]:
  try:
    yield
  except errors.UserError as error:
    raise bindings_lib.plain(error) from None
  except SyntaxError as error:
    raise errors.ConfigError(_syntax_message(error, source)) from error
  except tokenize.TokenError as error:
    raise errors.ConfigError(
      f'{source}: not valid gin: {error.args[0]} (a bracket or a string is not '
      'closed)'
    ) from error
  except _GIN_RAISES as error:
    raise errors.ConfigError(_message(str(error), source)) from error


def _syntax_message(error: SyntaxError, source: str) -> str:
  where = source
  if error.lineno and error.filename and error.filename != source:
    where = f'{error.filename} line {error.lineno}'
  elif error.lineno:
    where = f'{source} line {error.lineno}'
  written = f' ({error.text.strip()!r})' if error.text else ''
  # The last line says which token; those before it are gin's own parser's.
  reason = str(error.msg).strip().splitlines()[-1].strip()
  return (
    f'{where}: not valid gin{written}: {reason}; strings need quotes, names '
    'of functions an @'
  )


def _message(raised: str, source: str) -> str:
  """Puts what gin says on one line: where, what, and what to do."""
  where = source
  location = _LOCATION.search(raised)
  if location is not None and location['file']:
    where = f'{location["file"]} line {location["line"]}'
    where += f' ({location["text"].strip()})'
  if match := _UNREADABLE.search(raised):
    hint = errors.near_names(match['name'], paths.gin_files())
    what = f'includes {match["name"]!r}, which does not exist{hint}'
  elif match := _UNKNOWN_PARAMETER.search(raised):
    hint = errors.near_names(match['parameter'], _parameters(match['name']))
    what = f'{match["name"]} has no parameter {match["parameter"]!r}{hint}'
  elif match := _UNKNOWN_REFERENCE.search(raised):
    hint = errors.near_names(match['name'], _configurables())
    what = f'there is no configurable @{match["name"]}{hint}'
  elif match := _UNKNOWN.search(raised):
    hint = errors.near_names(match['name'], _configurables())
    what = f'there is no configurable {match["name"]!r}{hint}'
  elif match := _REQUIRED.search(raised):
    name = match['name'].removesuffix('/macro.value')
    what = (
      f'{name} is required and still open: bind it in a gin file or with '
      f'--gin.{name}=VALUE'
    )
  elif match := _UNBOUND_MACRO.search(raised):
    name = match['name'].removesuffix('/gin.macro')
    what = (
      f'%{name} is used and bound nowhere: bind it in a gin file or with '
      f'--gin.{name}=VALUE'
    )
  else:
    what = ' '.join(_LOCATION.sub('', raised).split())
    if "No module named 't5x'" in what:
      what += '; such files are read by python -m videopoet_jax.t5x'
  return f'{where}: {what}'


def _configurables() -> list[str]:
  names = {name.rsplit('.', 1)[-1] for name, _ in gin_config._REGISTRY.items()}
  return sorted(names - {'macro', 'constant', 'singleton'})


def _parameters(selector: str) -> list[str]:
  matches = gin_config._REGISTRY.get_all_matches(selector)
  if not matches:
    return []
  return list(inspect.signature(matches[0].wrapped).parameters)
