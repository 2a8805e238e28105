"""Paths on this machine and in a bucket.

A local path is pathlib's own. One that begins with `gs://` (or another of
`REMOTE`) is etils' `epath`, which has the same methods and needs gcsfs or
TensorFlow; it is imported only then. pathlib would make `gs:/` of `gs://`, so
that a path a user gives goes through `path` before anything else.
"""

from collections.abc import Iterator
import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
from typing import Any

REMOTE = ('gs://', 's3://')
_LOCAL = 'file://'

Path = str | os.PathLike[str]


def is_remote(name: Path) -> bool:
  """Whether a path is in a bucket."""
  return os.fspath(name).startswith(REMOTE)


# The system's words for a full disk, a limit or a missing right; libraries
# written in C++ raise errors of their own that contain these words.
_FAILURES = tuple(
  os.strerror(code)
  for code in (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOENT,
    errno.EMFILE,
    errno.ESTALE,
  )
)


def failure(error: BaseException) -> str:
  """Why storage failed, in the system's words; '' if the cause was another.

  Args:
    error: anything that was raised while files were written or read.
  """
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  text = str(error)
  for words in _FAILURES:
    if words in text:
      return words
  return ' '.join(text.split())[:200] if isinstance(error, OSError) else ''


def path(name: Path) -> pathlib.Path:
  """The path object to work with: pathlib's, or one that acts like it.

  A local path may be written as `file:///folder`.
  """
  if not is_remote(name):
    return pathlib.Path(os.fspath(name).removeprefix(_LOCAL))
  from etils import epath

  return epath.Path(name)


def cache_folder() -> pathlib.Path | None:
  """This package's folder of caches; None for a user without a home."""
  try:
    caches = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  except RuntimeError:  # No HOME, and no entry among the users.
    return None
  return pathlib.Path(caches) / 'videopoet_jax'


def absolute(name: Path) -> pathlib.Path:
  """The path from the root; a bucket's is that already."""
  return path(name) if is_remote(name) else path(name).absolute()


def given(name: Path) -> pathlib.Path | None:
  """The path from the root of an optional folder or file; None for ''."""
  return absolute(name) if os.fspath(name) else None


def key_value_store(folder: Path) -> dict[str, str]:
  """TensorStore's description of a folder, here or in a bucket."""
  name = os.fspath(absolute(folder)).rstrip('/')
  if not is_remote(name):
    return {'driver': 'file', 'path': f'{name}/'}
  scheme, _, rest = name.partition('://')
  bucket, _, inner = rest.partition('/')
  driver = 'gcs' if scheme == 'gs' else scheme
  return {
    'driver': driver,
    'bucket': bucket,
    'path': f'{inner}/' if inner else '',
  }


def modified(name: Path) -> int:
  """When a file was written last, to tell versions apart; 0 if there is none.

  Nanoseconds for local files, seconds in a bucket.
  """
  file = path(name)
  if not file.is_file():
    return 0
  status: Any = file.stat()
  return getattr(status, 'st_mtime_ns', None) or int(status.mtime)


def size(name: Path) -> int:
  """Bytes of a file; OSError if there is none."""
  status: Any = path(name).stat()
  return status.length if is_remote(name) else status.st_size


def files(name: Path) -> list[pathlib.Path]:
  """All files in a folder and its folders, in the order of their paths.

  (A bucket cannot list a whole tree by pattern.)
  """
  found: list[pathlib.Path] = []
  for inner in sorted(path(name).iterdir()):
    found += files(inner) if inner.is_dir() else [inner]
  return found


def remove_folder(name: Path) -> None:
  """Removes a folder and what is in it, if it is there."""
  folder: Any = path(name)
  if is_remote(name):
    folder.rmtree(missing_ok=True)
  else:
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def held(name: Path) -> Iterator[None]:
  """Locks a folder for this process; the system unlocks it at the end.

  Nothing is written. A bucket, and a file system without locks, is not held.

  Args:
    name: a folder that is there.

  Raises:
    BlockingIOError: another process holds it.
  """
  if is_remote(name):
    yield
    return
  handle = os.open(name, os.O_RDONLY)
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise
    except OSError:
      pass  # Some network file systems.
    yield
  finally:
    os.close(handle)


def write_whole(name: Path, content: bytes | str) -> None:
  """Writes a file whole or not at all; OSError if it cannot be.

  A reader, or a run that starts after a kill, never meets half of it. A
  bucket's objects appear whole anyway.
  """
  data = content.encode() if isinstance(content, str) else content
  target = path(name)
  target.parent.mkdir(parents=True, exist_ok=True)
  if is_remote(target):
    target.write_bytes(data)
    return
  partial = target.with_name(f'{target.name}.{os.getpid()}.partial')
  partial.write_bytes(data)
  partial.replace(target)


def move_folder(origin: Path, target: Path) -> None:
  """Gives a folder another name; OSError if it cannot be.

  A bucket renames nothing: there its files are copied, and deleted then.
  """
  if is_remote(origin) or is_remote(target):
    copy_folder(origin, target)
    remove_folder(origin)
    return
  path(target).parent.mkdir(parents=True, exist_ok=True)
  path(origin).rename(path(target))


def copy_folder(origin: Path, target: Path, last: str = '') -> None:
  """Copies a folder's files and folders over those of another.

  Args:
    origin: what to copy.
    target: where to copy it; made if need be.
    last: name of a file without which the folder counts as unfinished; it is
      copied after all others.

  Raises:
    OSError: something cannot be read or written.
  """
  if not is_remote(origin) and not is_remote(target) and not last:
    shutil.copytree(origin, target, dirs_exist_ok=True)
    return
  source, folder = path(origin), path(target)
  folder.mkdir(parents=True, exist_ok=True)
  for inner in sorted(source.iterdir(), key=lambda p: (p.name == last, p.name)):
    if inner.is_dir():
      copy_folder(inner, folder / inner.name)
    else:
      copy_file(inner, folder / inner.name)


def copy_file(origin: Path, target: Path) -> None:
  """Copies one file without holding it in memory; OSError if it cannot."""
  with path(origin).open('rb') as read, path(target).open('wb') as written:
    shutil.copyfileobj(read, written, 16 * 2**20)
