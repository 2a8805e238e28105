"""Writes a data set in pieces, each of which is complete or absent.

    <output>.partial/
      <name>                           a finished file of the data set
      .job/job.json                    settings; id of this start of the job
      .job/pieces/<name>.json          written last: this piece is complete
      .job/spill/<name>                temporary pieces
      .job/<start>-<what>-<host>.json  messages between hosts

The division into pieces depends only on the data set and not on the number of
hosts, so that a killed job resumes with any number of them, and the files are
those that one host would write. The folder lies where all hosts see it, beside
the data set, whose name it takes when it is complete; a bucket cannot rename,
so files are moved there one by one and `dataset_info.json` comes last.
"""

from collections.abc import Iterator, Mapping
from concurrent import futures
import contextlib
import json
import pathlib
import shutil
import tempfile
import time
from typing import Any
import uuid

from array_record.python import array_record_module

from videopoet_jax.core import errors
from videopoet_jax.core import storage

_FORMAT = 1
_LAST = 'dataset_info.json'  # A folder without it is not a data set.
_JOB = '.job'
_SPILL = f'{_JOB}/spill/'
_WRITING = 'writing'
_POLL_SECONDS = 0.2
_REMOTE_POLL_SECONDS = 5.0


@contextlib.contextmanager
def writing(output: storage.Path) -> Iterator[None]:
  """Converts errors of the disk to a `DataError`."""
  try:
    yield
  except OSError as error:
    raise errors.DataError(
      f'{output} cannot be written: {error.strerror or error}; choose '
      'another --output or make room'
    ) from error


def spill(name: str) -> str:
  """The name of a temporary piece, which is not part of the data set."""
  return f'{_SPILL}{name}'


class Records:
  """One file of records that is being written.

  Attributes:
    count: number of records so far.
    bytes: size of the records so far, before compression.
  """

  def __init__(self, path: pathlib.Path, options: str) -> None:
    self._writer = array_record_module.ArrayRecordWriter(str(path), options)
    self.count = self.bytes = 0

  def write(self, record: bytes) -> None:
    """Appends one record."""
    self._writer.write(record)
    self.count += 1
    self.bytes += len(record)

  def close(self) -> None:
    """Closes the file; raises OSError if there is no room."""
    try:
      self._writer.close()
    except RuntimeError as error:
      # The library reports a full disk this way.
      raise OSError(str(error)) from error


class ShardWriter:
  """Writes the folder of a data set in the making, on one host.

  Attributes:
    output: folder of the future data set.
    folder: folder of its pieces until then.
    start: name of this start of the job, the same on all hosts.
    finished: information on each complete piece, by name.
  """

  def __init__(
    self,
    output: pathlib.Path,
    start: str,
    finished: Mapping[str, Any],
    index: int = 0,
    count: int = 1,
  ) -> None:
    """Stores the arguments; use `begin` on the first host, `join` on others."""
    self.output = output
    self.folder = folder_of(output)
    self.start = start
    self.finished = dict(finished)
    self._index, self._count = index, count
    self._remote = storage.is_remote(output)

  @classmethod
  def begin(
    cls,
    output: storage.Path,
    settings: Mapping[str, Any],
    overwrite: bool = False,
    count: int = 1,
  ) -> 'ShardWriter':
    """Reserves the output; only the first host calls it.

    Pieces of an earlier start with the same settings are kept, others removed.

    Args:
      output: the data set's folder.
      settings: JSON of everything that the pieces depend on.
      overwrite: whether an existing data set is replaced in the end.
      count: number of hosts.

    Raises:
      DataError: the output is something else, or cannot be written.
    """
    final = storage.absolute(output)
    folder = folder_of(final)
    with writing(output):
      known = _read_json(folder / _JOB / 'job.json') or {}
      settings = json.loads(json.dumps(settings))
      same = (
        known.get('format') == _FORMAT and known.get('settings') == settings
      )
      publishing = same and bool(known.get('publishing'))
      _check_replaceable(final, overwrite, publishing)
      if not same:
        storage.remove_folder(folder)
      places = (folder, final) if publishing else (folder,)
      found = _finished(places) if same else {}
      pieces = cls(final, uuid.uuid4().hex[:12], found, 0, count)
      pieces._clear()
      pieces._state(settings, publishing)
    return pieces

  @classmethod
  def join(
    cls, output: storage.Path, index: int, count: int
  ) -> 'ShardWriter | None':
    """Opens the first host's folder; None if it is not visible here."""
    final = storage.absolute(output)
    known = _read_json(folder_of(final) / _JOB / 'job.json')
    if not known:
      return None
    return cls(final, known['start'], known['finished'], index, count)

  def _state(
    self, settings: Mapping[str, Any], publishing: bool = False
  ) -> None:
    self._settings = settings
    stated = {
      'format': _FORMAT,
      'settings': settings,
      'start': self.start,
      'publishing': publishing,
      'finished': self.finished,
    }
    self._write_json(f'{_JOB}/job.json', stated)

  def _clear(self) -> None:
    """Removes incomplete files and messages of an earlier start."""
    job = self.folder / _JOB
    for path in list(job.iterdir()) if job.is_dir() else ():
      if path.name.startswith(_WRITING) or path.name.count('-') >= 2:
        path.unlink()

  def path(self, name: str) -> pathlib.Path:
    """The path of a finished piece."""
    return self.folder / name

  @contextlib.contextmanager
  def piece(
    self, name: str, options: str, info: dict[str, Any]
  ) -> Iterator[Records]:
    """Writes one piece, which appears completely or not at all.

    Args:
      name: name of the file in the future data set, or from `spill`.
      options: options of the ArrayRecord writer.
      info: JSON to be stored with it, read at the end; `records`, `bytes` and
        `file_bytes` are added.

    Raises:
      DataError: it cannot be written.
    """
    temporary: str | None = None
    if self._remote:
      # Records are written to a local file and sent when they are complete.
      temporary = tempfile.mkdtemp(prefix='videopoet_piece_')
      path = pathlib.Path(temporary) / 'records'
    else:
      path = self.folder / _JOB / f'{_WRITING}-{self._index}'
    records = None
    try:
      with writing(self.output):
        path.parent.mkdir(parents=True, exist_ok=True)
        records = Records(path, options)
      yield records
      with writing(self.output):
        closing, records = records, None
        closing.close()
        info |= {
          'records': closing.count,
          'bytes': closing.bytes,
          'file_bytes': path.stat().st_size,
        }
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._remote:
          storage.copy_file(path, target)
        else:
          path.replace(target)
        note = name.removeprefix(f'{_JOB}/').replace('/', '+')
        self._write_json(
          f'{_JOB}/pieces/{note}.json', {'name': name, 'info': info}
        )
        self.finished[name] = info
    finally:
      if records is not None:
        with contextlib.suppress(Exception):
          records.close()
      with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
      if temporary:
        shutil.rmtree(temporary, ignore_errors=True)

  def _write_json(self, name: str, value: Any) -> None:
    path = self.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value)
    if self._remote:
      path.write_text(text)  # A bucket's objects appear whole.
      return
    partial = self.folder / _JOB / f'{_WRITING}-{self._index}-{path.name}'
    partial.write_text(text)
    partial.replace(path)

  def tell(self, what: str, value: Any) -> None:
    """Posts JSON for the other hosts."""
    with writing(self.output):
      self._write_json(f'{_JOB}/{self.start}-{what}-{self._index}.json', value)

  def told(self, what: str, index: int) -> Any:
    """Reads a message posted by another host; None if there is none yet."""
    return _read_json(self.folder / _JOB / f'{self.start}-{what}-{index}.json')

  def exchange(self, what: str, value: Any) -> list[Any]:
    """Exchanges JSON with all hosts, in order of hosts, and waits for all.

    The coordination service notices a host that dies meanwhile, and one that
    fails reports it (`preparation.hosts`): both end the wait with the process.

    Args:
      what: name of the exchange, letters only, used once in a job.
      value: JSON, not null.
    """
    if self._count == 1:
      return [value]
    self.tell(what, value)
    return [
      value if index == self._index else self._await(what, index)
      for index in range(self._count)
    ]

  def _await(self, what: str, index: int) -> Any:
    while True:
      told = self.told(what, index)
      if told is not None:
        return told
      time.sleep(_REMOTE_POLL_SECONDS if self._remote else _POLL_SECONDS)

  def keep(self, what: str, value: Any) -> None:
    """Stores JSON for all hosts and later starts."""
    with writing(self.output):
      self._write_json(f'{_JOB}/{what}.json', value)

  def kept(self, what: str) -> Any:
    """Returns JSON stored by `keep`; None if there is none."""
    return _read_json(self.folder / _JOB / f'{what}.json')

  def gather(self, what: str, last: bool = False) -> None:
    """Adds the pieces that the other hosts have finished.

    Args:
      what: name of the exchange, letters only, used once in a job.
      last: whether the first host, which then calls `publish`, waits until all
        others have read the list: their folder is gone afterwards.
    """
    for infos in self.exchange(what, self.finished):
      self.finished |= infos
    if last and self._index:
      self.tell(f'{what}known', True)
    elif last:
      for index in range(1, self._count):
        self._await(f'{what}known', index)

  def publish(self, described: pathlib.Path, names: list[str]) -> None:
    """Moves the data set to its place; only the first host calls it.

    Args:
      described: local folder with the files that describe it.
      names: names of its pieces.

    Raises:
      DataError: it cannot be written; the pieces are kept.
    """
    with writing(self.output):
      if self._remote:
        self._publish_remote(described, names)
      else:
        for path in described.iterdir():
          if path.name not in names:
            storage.copy_file(path, self.folder / path.name)
        old = self.folder.with_name(f'{self.folder.name}-old')
        storage.remove_folder(old)
        if self.output.exists():
          self.output.rename(old)
        self.folder.rename(self.output)
        storage.remove_folder(old)
        # Not earlier: a kill before this leaves everything needed to resume.
        storage.remove_folder(self.output / _JOB)

  def _publish_remote(self, described: pathlib.Path, names: list[str]) -> None:
    if not self._is_publishing():
      storage.remove_folder(self.output)
      self._state(self._settings, publishing=True)
    self.output.mkdir(parents=True, exist_ok=True)
    described_names = {path.name for path in described.iterdir()} - set(names)
    for name in sorted(described_names - {_LAST}):
      storage.copy_file(described / name, self.output / name)
    for name in names:
      # Moved by the store itself. A piece may have been moved before a kill.
      if self.path(name).is_file():
        self.path(name).replace(self.output / name)
      elif not (self.output / name).is_file():
        raise FileNotFoundError(f'{self.path(name)} is gone')
    storage.copy_file(described / _LAST, self.output / _LAST)
    storage.remove_folder(self.folder)

  def _is_publishing(self) -> bool:
    known = _read_json(self.folder / _JOB / 'job.json') or {}
    return bool(known.get('publishing'))

  def leave(self) -> bool:
    """Ends without a data set; finished pieces stay, for resuming.

    Returns:
      Whether there are any; if not, the folder is removed.
    """
    if any(info['records'] for info in self.finished.values()):
      return True
    storage.remove_folder(self.folder)
    return False


@contextlib.contextmanager
def description(names: list[str]) -> Iterator[pathlib.Path]:
  """A local folder to describe a data set in, for `ShardWriter.publish`.

  Empty files stand for the pieces, whose names TFDS expects.

  Args:
    names: names of the pieces.
  """
  folder = pathlib.Path(tempfile.mkdtemp(prefix='videopoet_description_'))
  try:
    for name in names:
      (folder / name).touch()
    yield folder
  finally:
    shutil.rmtree(folder, ignore_errors=True)


def folder_of(output: pathlib.Path) -> pathlib.Path:
  """The folder of a data set's pieces while it is being made."""
  return output.with_name(f'{output.name}.partial')


def _check_replaceable(
  output: pathlib.Path, overwrite: bool, ours: bool
) -> None:
  """Refuses to overwrite existing files.

  Args:
    output: folder of the future data set.
    overwrite: whether a data set may be replaced.
    ours: whether this very job has begun to move the data set there.
  """
  if not output.exists():
    return
  if not output.is_dir():
    raise errors.DataError(f'{output} is a file, not a folder')
  if not any(output.iterdir()):
    return
  is_complete = (output / _LAST).is_file()
  if ours and not is_complete:
    return
  if not overwrite:
    raise errors.DataError(
      f'{output} exists already and is not empty; choose another --output, or '
      'replace it with --overwrite'
    )
  if not is_complete:
    raise errors.DataError(
      f'{output} holds something that is not a data set; it is left alone, '
      'choose another --output'
    )


def _finished(places: tuple[pathlib.Path, ...]) -> dict[str, Any]:
  """Information on the complete pieces in a folder.

  Args:
    places: the folder, and the one where its pieces may have been moved.
  """
  notes = places[0] / _JOB / 'pieces'
  paths = sorted(notes.iterdir()) if notes.is_dir() else []
  found = {}
  # In a bucket each read takes a moment.
  with futures.ThreadPoolExecutor(16) as pool:
    for note in pool.map(_read_json, paths):
      if note:
        found[note['name']] = note['info']

    def is_whole(name: str) -> bool:
      # After a power cut a file may be shorter than what was written.
      return any(
        (place / name).is_file()
        and storage.size(place / name) == found[name]['file_bytes']
        for place in places
      )

    whole = dict(zip(found, pool.map(is_whole, found), strict=True))
  return {name: info for name, info in found.items() if whole[name]}


def _read_json(path: pathlib.Path) -> Any:
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return None
