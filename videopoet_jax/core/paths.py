"""Finds the data-only folders `gin/` and `tasks/`.

They live at the root of the repository and travel in the wheel as
`videopoet_jax/_assets/`. Wherever the code runs from, `assets_root()` is a
folder that holds both, so an include such as `gin/models/tiny.gin` means the
same file in a clone, an editable install and a wheel.
"""

from collections.abc import Iterator
import contextlib
import pathlib
import sys

from videopoet_jax.core import errors
from videopoet_jax.core import storage

ASSET_FOLDERS = ('gin', 'tasks')

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def assets_root(package: pathlib.Path = _PACKAGE) -> pathlib.Path:
  """Returns the folder that holds `gin/` and `tasks/`.

  Args:
    package: folder of the `videopoet_jax` package; a test passes another one.

  Returns:
    `<package>/_assets` in a wheel, the repository's root otherwise.

  Raises:
    ConfigError: neither holds the folders, that is, a broken installation.
  """
  # The wheel comes first: beside an installed package stands `gin/` too, the
  # gin-config library, which the look for `__init__.py` tells from ours.
  for root in (package / '_assets', package.parent):
    folders = [root / name for name in ASSET_FOLDERS]
    if all(f.is_dir() and not (f / '__init__.py').exists() for f in folders):
      return root
  raise errors.ConfigError(
    f'The folders gin/ and tasks/ are neither in {package / "_assets"} nor in '
    f'{package.parent}: the installation is incomplete; install videopoet_jax '
    'again from its wheel, or run from a complete clone'
  )


def gin_files(root: pathlib.Path | None = None) -> tuple[str, ...]:
  """Lists the include strings of all shipped gin files, tasks among them."""
  root = root or assets_root()
  return tuple(
    sorted(
      path.relative_to(root).as_posix()
      for folder in ASSET_FOLDERS
      for path in (root / folder).rglob('*.gin')
    )
  )


def task_files(root: pathlib.Path | None = None) -> tuple[str, ...]:
  """Lists the include strings of the shipped task files."""
  return tuple(f for f in gin_files(root) if f.startswith('tasks/'))


def resolve(name: str, root: pathlib.Path | None = None) -> pathlib.Path:
  """Finds a gin file the way an include does.

  Args:
    name: a path, or an include string such as `gin/models/tiny.gin`.
    root: the folder of `gin/` and `tasks/`, `assets_root()` unless given.

  Returns:
    The file's path: the working directory wins over the shipped files.

  Raises:
    ConfigError: there is no such file in either place.
  """
  root = root or assets_root()
  remote = storage.is_remote(name)
  for candidate in (storage.path(name), *(() if remote else (root / name,))):
    if candidate.is_file():
      return candidate
  hint = errors.near_names(name, gin_files(root))
  raise errors.ConfigError(
    f'There is no gin file {name!r}: looked in {pathlib.Path.cwd()} and in '
    f'{root}{hint}'
  )


@contextlib.contextmanager
def importable(folder: str | pathlib.Path) -> Iterator[None]:
  """Makes modules beside a task file importable, after all others."""
  folder = str(folder)
  added = folder and folder not in sys.path
  if added:
    sys.path.append(folder)
  try:
    yield
  finally:
    if added:
      sys.path.remove(folder)
