"""Data jobs on several hosts: who does what, and ending together.

Each host makes pieces of the data set (`data/shard_writer.py`) on its own, with
no collective between. Hosts meet before the work begins, so that a mistake is
reported at once, and when it is done. A host that fails says why in the data
set's folder, where the others look; one that dies is missed by JAX's
coordination service, which ends the others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any, NoReturn, TypeVar
import zlib

from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.core import termination
from videopoet_jax.data import shard_writer
from videopoet_jax.parallel import start

_Item = TypeVar('_Item')

_SETTINGS = 'data settings'
_LOOK_SECONDS = 1.0
_REMOTE_LOOK_SECONDS = 10.0
_BUG_STATUS = 1


@dataclasses.dataclass
class Hosts:
  """This process among those of the job.

  Attributes:
    index: of this process.
    count: of processes.
    pieces: what they make, once they have begun.
    met: whether the hosts have compared what they were given.
    know: whether all of them know what this one fails of.
    show: takes lines for the screen; nothing is printed without.
  """

  index: int = 0
  count: int = 1
  pieces: shard_writer.ShardWriter | None = None
  met: bool = False
  know: bool = False
  show: Callable[[str], None] | None = None

  @property
  def is_first(self) -> bool:
    """Whether this process is the one that speaks for all."""
    return self.index == 0

  def log(self, line: str) -> None:
    """Shows a line once for all."""
    if self.is_first and self.show is not None:
      self.show(line)

  def unit(self, unit: str) -> str:
    """What a meter counts: `clips of host 1`, where there are several."""
    return unit if self.count == 1 else f'{unit} of host {self.index}'

  def share(self, items: Sequence[_Item]) -> Sequence[_Item]:
    """This host's part of the items, those next to each other."""
    first, last = (
      len(items) * (self.index + more) // self.count for more in (0, 1)
    )
    return items[first:last]

  def balanced(
    self, items: Sequence[_Item], weight: Callable[[_Item], float]
  ) -> list[_Item]:
    """This host's part of items of unlike weight, in their order.

    The heaviest is given first, to the host that has the least.
    """
    loads = [0.0] * self.count
    mine = []
    order = sorted(range(len(items)), key=lambda i: (-weight(items[i]), i))
    for number in order:
      host = loads.index(min(loads))
      loads[host] += weight(items[number])
      if host == self.index:
        mine.append(number)
    return [items[number] for number in sorted(mine)]

  def gather(self, number: int, name: str) -> list[int]:
    """A number below 2**32 of each host; all of them have to ask."""
    if self.count == 1:
      return [number]
    from jax.experimental import multihost_utils
    import numpy as np

    start.barrier(name)
    found = multihost_utils.process_allgather(np.array([number], np.uint32))
    return [int(value) for value in np.reshape(found, -1)]


def run(body: Callable[[Hosts], int]) -> int:
  """Runs a job with the other hosts that the environment tells of.

  Args:
    body: takes this host, returns an exit status.

  Returns:
    The exit status. On several hosts the process of a job that fails ends
    here, since leaving in good order would mean waiting for the others.
  """
  config = start.from_environment()
  if not config.coordinator:
    return body(Hosts(show=_print))
  start.initialize(config)
  import jax

  hosts = Hosts(jax.process_index(), jax.process_count(), show=_print)
  # JAX has taken the signal to announce it to training, which saves then. Here
  # all that is finished is saved already.
  signal.signal(signal.SIGTERM, _stop)
  failure: list[BaseException] = []

  def watched(argv: Sequence[str]) -> int:
    del argv
    try:
      return body(hosts)
    except BaseException as error:
      # Launchers stop whoever is left when one ends: this one is ending, too.
      signal.signal(signal.SIGTERM, signal.SIG_IGN)
      failure.append(error)
      raise

  try:
    status = entry.run(watched, ())
  except _StoppedError as stopped:
    print(stopped, file=sys.stderr)
    status = termination.STATUS
  except Exception:
    traceback.print_exc()
    status = _BUG_STATUS
  if failure:
    _fail(hosts, failure[0], status)
  return status


def _print(line: str) -> None:
  print(line, flush=True)


class _StoppedError(BaseException):
  """SIGTERM; no `Exception`, so that nobody takes it for one of theirs."""


def _stop(number: int, frame: Any) -> NoReturn:
  del frame
  signal.signal(number, signal.SIG_IGN)  # Once is enough.
  raise _StoppedError(
    'stopped by SIGTERM; the same command goes on from what is finished'
  )


def _end(status: int) -> NoReturn:
  """Ends without waiting for the others, as the interpreter's exit would."""
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _fail(hosts: Hosts, error: BaseException, status: int) -> NoReturn:
  """Lets the others know why this host ends, and ends."""
  with contextlib.suppress(Exception):
    if not hosts.met:
      hosts.gather(0, _SETTINGS)
    elif hosts.pieces is not None and not hosts.know:
      message = ' '.join(str(error).split()) or type(error).__name__
      told = {'host': hosts.index, 'status': status, 'message': message}
      hosts.pieces.keep(_failure(hosts.pieces), told)
  # The first host is where the others are missed: it stays until they know.
  if hosts.is_first and hosts.count > 1:
    time.sleep(3 * _look_seconds(hosts.pieces))
  _end(status)


def _look_seconds(pieces: shard_writer.ShardWriter | None) -> float:
  remote = pieces is not None and storage.is_remote(pieces.output)
  return _REMOTE_LOOK_SECONDS if remote else _LOOK_SECONDS


def _failure(pieces: shard_writer.ShardWriter) -> str:
  """The name of what the first host to fail in this start leaves."""
  return f'{pieces.start}-failure-any'


def _watch(hosts: Hosts, pieces: shard_writer.ShardWriter) -> None:
  """Ends this process when another one has failed."""
  while True:
    time.sleep(_look_seconds(pieces))
    told = pieces.kept(_failure(pieces))
    if told and told['host'] != hosts.index:
      print(
        f'stopped, because host {told["host"]} failed: {told["message"]}',
        file=sys.stderr,
      )
      _end(told['status'])


@contextlib.contextmanager
def making(
  hosts: Hosts,
  output: storage.Path,
  settings: Mapping[str, Any],
  overwrite: bool,
) -> Iterator[shard_writer.ShardWriter]:
  """Begins the data set on all hosts, or goes on with it.

  Args:
    hosts: this one among them.
    output: the data set's folder.
    settings: JSON, everything that pieces depend on.
    overwrite: whether a data set that is there is replaced in the end.

  Raises:
    DataError: something is there, it cannot be written, or hosts do not see
      the same.
    ConfigError: hosts were given different things.
  """
  asked = hosts.gather(_digest(settings), _SETTINGS)
  hosts.met = True
  hosts.know = len(set(asked)) > 1
  if 0 in asked:
    failed = _list(i for i, found in enumerate(asked) if not found)
    raise errors.DataError(f'{failed} could not begin and says why')
  if hosts.know:
    others = _list(i for i, found in enumerate(asked) if found != asked[0])
    raise errors.ConfigError(
      f'{others} was given other flags than host 0, or sees other files: start '
      'all hosts with the same command, and let them read the same disk or '
      'bucket'
    )
  pieces: shard_writer.ShardWriter | None = None
  problem: Exception | None = None
  if hosts.is_first:
    try:
      pieces = shard_writer.ShardWriter.begin(
        output, settings, overwrite, hosts.count
      )
    except Exception as error:  # The others wait to be told.
      problem = error
  begun = hosts.gather(_digest(pieces.start) if pieces else 0, 'data begun')
  hosts.know = not begun[0]
  if problem:
    raise problem
  if hosts.know:
    raise errors.DataError('host 0 could not begin and says why')
  if not hosts.is_first:
    pieces = shard_writer.ShardWriter.join(output, hosts.index, hosts.count)
  seen = hosts.gather(_digest(pieces.start) if pieces else 0, 'data seen')
  hosts.know = len(set(seen)) > 1
  if hosts.know:
    others = _list(i for i, found in enumerate(seen) if found != seen[0])
    folder = shard_writer.folder_of(storage.path(output))
    raise errors.DataError(
      f'{others} does not find in {folder} what host 0 has written there: '
      'give an --output on a disk that all hosts share, or in a bucket'
    )
  assert pieces is not None
  hosts.pieces = pieces
  if hosts.count > 1:
    threading.Thread(target=_watch, args=(hosts, pieces), daemon=True).start()
  if pieces.finished:
    hosts.log(
      f'going on: {len(pieces.finished)} pieces are finished in '
      f'{pieces.folder} (remove it to begin anew)'
    )
  try:
    yield pieces
  except BaseException:
    if hosts.count == 1 and pieces.leave() and hosts.show is not None:
      print(
        f'\nwhat is finished is kept in {pieces.folder}: the same command goes '
        'on from there',
        file=sys.stderr,
      )
    raise
  # Nobody leaves before the data set is there.
  if hosts.count > 1:
    start.barrier('data published')


def _digest(value: Any) -> int:
  """At least 1."""
  return zlib.crc32(json.dumps(value, sort_keys=True).encode()) or 1


def _list(hosts: Iterator[int]) -> str:
  return ', '.join(f'host {index}' for index in hosts)
