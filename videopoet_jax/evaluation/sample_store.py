"""What of an evaluation is done, on disk: killed at any moment, it goes on.

    <stream>/pieces/<first>_<count>_<host>.npz   measures of some samples
    journal_<host>.jsonl                         what was begun and done

A piece is written whole (by a rename; a bucket's objects appear whole anyway)
and holds the indices of its samples, so that pieces may have any size and
samples any order. What stands in a piece is never generated nor measured
again.
"""

from collections.abc import Iterator, Mapping, Sequence
import io
import json
import os
import pathlib
import time
from typing import Any
import zipfile

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import storage

PIECES = 'pieces'
_INDICES, _SECONDS = 'indices', 'seconds'


def write_whole(path: pathlib.Path, content: bytes) -> None:
  """Writes a file whole or not at all.

  Raises:
    DataError: it cannot be written.
  """
  try:
    storage.write_whole(path, content)
  except OSError as error:
    raise errors.DataError(
      f'cannot write {path}: {error.strerror or error}; give an --out that can '
      'be written and has room.'
    ) from error


def write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes arrays as one `.npz`, whole or not at all."""
  buffer = io.BytesIO()
  by_name: dict[str, Any] = dict(arrays)
  np.savez(buffer, **by_name)
  write_whole(path, buffer.getvalue())


def read_arrays(
  path: pathlib.Path, prefixes: tuple[str, ...] = ('',)
) -> dict[str, np.ndarray] | None:
  """Reads what `write_arrays` wrote.

  Args:
    path: of the file.
    prefixes: only arrays whose names begin with one of these are read.

  Returns:
    The arrays; None where the file is missing or damaged.
  """
  try:
    with path.open('rb') as file, np.load(file) as found:
      names = [name for name in found.files if name.startswith(prefixes)]
      return {name: found[name] for name in names}
  except (OSError, ValueError, EOFError, zipfile.BadZipFile):
    return None


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes JSON, whole or not at all."""
  write_whole(path, (json.dumps(value, indent=2) + '\n').encode())


def read_json(path: pathlib.Path) -> Any:
  """Reads JSON; None where it is missing or half written."""
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return None


class Journal:
  """Lines of what was begun and done; only appended to.

  It answers whether anything was done twice. A bucket cannot be appended to:
  there nothing is written.
  """

  def __init__(self, folder: pathlib.Path, host: int = 0) -> None:
    """Opens or makes the journal of one host."""
    self._path = folder / f'journal_{host}.jsonl'
    self._enabled = not storage.is_remote(folder)

  def note(
    self, event: str, stream: str, indices: Sequence[int] | np.ndarray
  ) -> None:
    """Adds a line.

    Args:
      event: 'begin' or 'done'.
      stream: which samples.
      indices: their numbers.
    """
    if not self._enabled:
      return
    line = {
      'time': round(time.time(), 3),
      'event': event,
      'stream': stream,
      'indices': [int(index) for index in indices],
    }
    # Begun on a new line: a kill may have left half of one.
    torn = self._path.exists() and not _ends_line(self._path)
    with self._path.open('a', encoding='utf-8') as file:
      file.write(('\n' if torn else '') + json.dumps(line) + '\n')


def _ends_line(path: pathlib.Path) -> bool:
  with path.open('rb') as file:
    if not file.seek(0, os.SEEK_END):
      return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b'\n'


def read_journals(folder: pathlib.Path) -> list[dict[str, Any]]:
  """All lines of all hosts; half lines that a kill has left are skipped."""
  lines = []
  for path in sorted(folder.glob('journal_*.jsonl')):
    for line in path.read_text(encoding='utf-8').splitlines():
      try:
        lines.append(json.loads(line))
      except ValueError:
        continue
  return lines


class Stream:
  """The samples of one side of one task, and what is known of them."""

  def __init__(
    self,
    folder: pathlib.Path,
    name: str,
    total: int,
    journal: Journal,
    host: int = 0,
  ) -> None:
    """Looks at what is done.

    Args:
      folder: of this stream.
      name: in the journal.
      total: samples, numbered from 0.
      journal: of this host.
      host: this process.
    """
    self.folder = folder
    self.name = name
    self.total = total
    self._journal = journal
    self._host = host
    self._pieces: dict[pathlib.Path, np.ndarray] = {}
    self.seconds: dict[str, float] = {}
    self._writing = 0.0  # Seconds of the last piece, told with the next.
    self.refresh()

  def refresh(self) -> None:
    """Reads which pieces there are, those of other hosts too."""
    self._pieces, self.seconds = {}, {}
    folder = self.folder / PIECES
    if not folder.is_dir():
      return
    for path in sorted(folder.glob('*.npz')):
      found = read_arrays(path, (_INDICES, f'{_SECONDS}/'))
      if found is None or _INDICES not in found:
        continue  # Damaged from outside: its samples are done again.
      self._pieces[path] = found[_INDICES]
      self._add_seconds(found)

  def _add_seconds(self, arrays: Mapping[str, np.ndarray]) -> None:
    for key, value in arrays.items():
      if key.startswith(f'{_SECONDS}/'):
        name = key.removeprefix(f'{_SECONDS}/')
        self.seconds[name] = self.seconds.get(name, 0.0) + float(value)

  def missing(self) -> np.ndarray:
    """Numbers of the samples that are not done, ascending."""
    done = np.zeros(self.total, bool)
    for indices in self._pieces.values():
      done[indices[indices < self.total]] = True
    return np.flatnonzero(~done)

  def begin(self, indices: np.ndarray) -> None:
    """Notes that work on these samples begins."""
    self._journal.note('begin', self.name, indices)

  def finish(
    self,
    indices: np.ndarray,
    measured: Mapping[str, np.ndarray],
    seconds: Mapping[str, float],
  ) -> None:
    """Keeps what was measured; from here on these samples are done.

    Args:
      indices: numbers of the samples.
      measured: arrays with a row for each.
      seconds: what each kind of work took.
    """
    began = time.monotonic()
    path = (
      self.folder
      / PIECES
      / (f'{int(indices[0]):07d}_{len(indices):05d}_{self._host}.npz')
    )
    arrays = {_INDICES: np.asarray(indices, np.int64), **measured}
    told = {**seconds, 'write': seconds.get('write', 0.0) + self._writing}
    arrays |= {
      f'{_SECONDS}/{k}': np.array(v, np.float64) for k, v in told.items()
    }
    write_arrays(path, arrays)
    self._journal.note('done', self.name, indices)
    self._pieces[path] = arrays[_INDICES]
    self._add_seconds(arrays)
    self._writing = time.monotonic() - began

  def blocks(
    self, start: int, stop: int, size: int
  ) -> Iterator[dict[str, np.ndarray]]:
    """What was measured, in order of the samples' numbers.

    Args:
      start: first sample.
      stop: the sample after the last one.
      size: samples of a block.

    Yields:
      Arrays of one block after the other.

    Raises:
      DataError: a piece vanished, or samples are missing.
    """
    place = np.full(self.total, -1, np.int64)
    row = np.zeros(self.total, np.int64)
    paths = list(self._pieces)
    for number, path in enumerate(paths):
      indices = self._pieces[path]
      inside = indices < self.total
      place[indices[inside]] = number
      row[indices[inside]] = np.flatnonzero(inside)
    if (place[start:stop] < 0).any():
      raise errors.DataError(
        f'{self.folder}: samples of {self.name} are missing; run the job again.'
      )
    opened: dict[int, dict[str, np.ndarray]] = {}
    for first in range(start, stop, size):
      numbers = np.arange(first, min(first + size, stop))
      needed = np.unique(place[numbers])
      # Pieces are nearly in order: only those of this block stay in memory.
      opened = {n: opened.get(n) or self._read(paths[n]) for n in needed}
      yield _gather(opened, place[numbers], row[numbers])

  def _read(self, path: pathlib.Path) -> dict[str, np.ndarray]:
    found = read_arrays(path)
    if found is None:
      raise errors.DataError(
        f'{path} is gone or damaged: remove it and run the job again.'
      )
    return {
      key: value
      for key, value in found.items()
      if key != _INDICES and not key.startswith(f'{_SECONDS}/')
    }

  def forget(self) -> None:
    """Removes the pieces, once what they add up to is written."""
    storage.remove_folder(self.folder / PIECES)
    self._pieces = {}


def _gather(
  pieces: Mapping[int, Mapping[str, np.ndarray]],
  place: np.ndarray,
  row: np.ndarray,
) -> dict[str, np.ndarray]:
  gathered = {}
  for key in next(iter(pieces.values())):
    first = pieces[int(place[0])][key]
    block = np.empty((len(place), *first.shape[1:]), first.dtype)
    for number, arrays in pieces.items():
      chosen = place == number
      block[chosen] = arrays[key][row[chosen]]
    gathered[key] = block
  return gathered
