"""Stores the progress of an evaluation, so that it resumes after any kill.

    <stream>/pieces/<first>_<count>_<host>.npz   measures of some samples
    journal_<host>.jsonl                         work that was begun and done

A piece is written atomically (by a rename; a bucket's objects appear whole
anyway) and holds the indices of its samples, so that pieces may have any size
and samples any order. Samples in a piece are never generated or measured again.
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
  """Writes a file completely or not at all.

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
  """Writes arrays as one `.npz`, completely or not at all."""
  buffer = io.BytesIO()
  by_name: dict[str, Any] = dict(arrays)
  np.savez(buffer, **by_name)
  write_whole(path, buffer.getvalue())


def read_arrays(
  path: pathlib.Path, prefixes: tuple[str, ...] = ('',)
) -> dict[str, np.ndarray] | None:
  """Reads what `write_arrays` wrote.

  Args:
    path: path of the file.
    prefixes: only arrays whose names begin with one of these are read.

  Returns:
    The arrays; None if the file is missing or damaged.
  """
  try:
    with path.open('rb') as file, np.load(file) as found:
      names = [name for name in found.files if name.startswith(prefixes)]
      return {name: found[name] for name in names}
  except (OSError, ValueError, EOFError, zipfile.BadZipFile):
    return None


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes JSON, completely or not at all."""
  write_whole(path, (json.dumps(value, indent=2) + '\n').encode())


def read_json(path: pathlib.Path) -> Any:
  """Reads JSON; None if it is missing or incomplete."""
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return None


class Journal:
  """Lines about work that was begun and done; only appended to.

  It shows whether anything was done twice. A bucket cannot be appended to:
  nothing is written there.
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
      stream: name of the samples' stream.
      indices: numbers of the samples.
    """
    if not self._enabled:
      return
    line = {
      'time': round(time.time(), 3),
      'event': event,
      'stream': stream,
      'indices': [int(index) for index in indices],
    }
    # Starts on a new line: a kill may have left an incomplete one.
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
  """All lines of all hosts; incomplete lines left by a kill are skipped."""
  lines = []
  for path in sorted(folder.glob('journal_*.jsonl')):
    for line in path.read_text(encoding='utf-8').splitlines():
      try:
        lines.append(json.loads(line))
      except ValueError:
        continue
  return lines


class Stream:
  """The samples of one side of one task, and their measures."""

  def __init__(
    self,
    folder: pathlib.Path,
    name: str,
    total: int,
    journal: Journal,
    host: int = 0,
  ) -> None:
    """Reads which samples are done.

    Args:
      folder: folder of this stream.
      name: name in the journal.
      total: number of samples, counted from 0.
      journal: journal of this host.
      host: process index of this host.
    """
    self.folder = folder
    self.name = name
    self.total = total
    self._journal = journal
    self._host = host
    self._pieces: dict[pathlib.Path, np.ndarray] = {}
    self.seconds: dict[str, float] = {}
    self._writing = 0.0  # Seconds of the last piece, recorded with the next.
    self.refresh()

  def refresh(self) -> None:
    """Reads the list of pieces, including those of other hosts."""
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
    """Stores measures; from here on these samples are done.

    Args:
      indices: numbers of the samples.
      measured: arrays with a row for each.
      seconds: seconds of each kind of work.
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
    """Yields the measures, in order of the samples' numbers.

    Args:
      start: first sample.
      stop: the sample after the last one.
      size: number of samples in a block.

    Yields:
      The arrays of one block after the other.

    Raises:
      DataError: a piece has disappeared, or samples are missing.
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
    """Removes the pieces, once their sums are written."""
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
