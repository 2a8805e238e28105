"""Says where a run hangs, and ends it if it should.

A collective that one host never enters, a file system that does not answer, a
deadlock: the process lives and nothing happens. A thread watches the time since
the run last got on, and writes all threads' stacks when it is far too long.
"""

from collections.abc import Callable
import dataclasses
import faulthandler
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time

import jax

from videopoet_jax.core import errors
from videopoet_jax.training import goodput as goodput_lib

# sysexits.h: a temporary failure, try again. Whoever started the run does.
EXIT_STATUS = 75
_WINDOWS = 32
# What the file of stacks may take before the run ends without it.
_WRITING_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class WatchdogConfig:
  """When a run counts as hung.

  Attributes:
    factor: median step times without progress; 0 watches nothing.
    least_seconds: what is not called a hang, however short steps are.
    other_seconds: the same while no step time is known yet, and while the run
      compiles, validates, saves or starts.
    exit: whether to end the process, with status 75, so that what started it
      starts it again; otherwise the stacks are written and it goes on waiting.
  """

  factor: float = 30.0
  least_seconds: float = 300.0
  other_seconds: float = 3600.0
  exit: bool = False

  def __post_init__(self) -> None:
    errors.check_range(self, 'factor')
    errors.check_range(self, 'least_seconds', 'other_seconds', above=True)


class Watchdog:
  """Watches a run from a thread."""

  def __init__(
    self,
    config: WatchdogConfig,
    goodput: goodput_lib.Goodput,
    run_dir: pathlib.Path,
    *,
    log_every: int,
    log: Callable[[str], None] = print,
    end: Callable[[int], None] = os._exit,
  ) -> None:
    """Starts the thread.

    Args:
      config: when a run counts as hung.
      goodput: the current kind of work and when it began.
      run_dir: where the stacks go: `hang_process<p>_step<n>.txt`.
      log_every: steps between lines of figures. Only these wait for the
        devices, so that many steps may seem to take no time before one.
      log: takes the lines that tell; on every process, not only the first.
      end: ends the process; a test gives its own.
    """
    self._config = config
    self._goodput = goodput
    self._run_dir = run_dir
    self._log_every = log_every
    self._log = log
    self._end = end
    self._step, self._unit = 0, ''
    self._known_done = 0
    self._progress = time.monotonic()
    self._medians: list[float] = []
    self._told = False
    self._stopping = threading.Event()
    self._thread = None
    if config.factor:
      self._thread = threading.Thread(
        target=self._watch, name='watchdog', daemon=True
      )
      self._thread.start()

  def at(self, step: int, unit: str) -> None:
    """The run begins a step (counted from 0)."""
    self._step, self._unit = step, unit

  def done(self, steps: int, step_seconds: float) -> None:
    """The devices are known to have done so many steps.

    Args:
      steps: done, those before a resume included.
      step_seconds: of one, since the last call.
    """
    self._known_done = steps
    self._medians = [*self._medians, step_seconds][-_WINDOWS:]
    self._progress = time.monotonic()
    self._told = False

  def limit(self) -> float:
    """Seconds without progress that are a hang now."""
    if not self._medians or self._goodput.kind not in (
      goodput_lib.STEP,
      'data',
    ):
      return self._config.other_seconds
    median = statistics.median(self._medians)
    return max(
      self._config.least_seconds,
      (self._config.factor + self._log_every) * median,
    )

  def stuck(self) -> float:
    """Seconds without progress; to begin with another kind is progress."""
    return time.monotonic() - max(self._progress, self._goodput.since)

  def close(self) -> None:
    """Ends the thread."""
    self._stopping.set()
    if self._thread is not None:
      self._thread.join()

  def _watch(self) -> None:
    pause = min(self._config.least_seconds, self._config.other_seconds) / 10
    while not self._stopping.wait(min(pause, 10.0)):
      if not self._told and self.stuck() > self.limit():
        self._told = True
        self._tell()

  def _tell(self) -> None:
    process = jax.process_index()
    head = (
      f'hang: process {process} has made no progress for {self.stuck():.0f} s; '
      f'kind {self._goodput.kind!r}, step {self._step} of unit '
      f'{self._unit!r} begun, {self._known_done} steps known done'
    )
    stacks = _stacks()
    # Said before anything is written: what hangs may be the file system.
    self._log(head)
    path = self._run_dir / f'hang_process{process}_step{self._step}.txt'
    written, failure = [], []

    def write() -> None:
      try:
        path.write_text(f'{head}\n\n{stacks}', encoding='utf-8')
        written.append(path)
      except Exception as error:  # Of any kind, where it is a bucket.
        failure.append(str(error))

    writer = threading.Thread(target=write, name='stacks', daemon=True)
    writer.start()
    writer.join(_WRITING_SECONDS)
    if written:
      self._log(f'stacks of all threads in {path}')
    else:
      why = failure[0] if failure else f'nothing after {_WRITING_SECONDS:.0f} s'
      self._log(f'stacks cannot be written to {path}: {why}\n{stacks}')
    if self._config.exit:
      self._log(f'ending with status {EXIT_STATUS}, to be started again')
      sys.stdout.flush()
      sys.stderr.flush()
      self._end(EXIT_STATUS)


def _stacks() -> str:
  """Where all threads are."""
  # It writes to a file of the system only; a run's folder may be none.
  with tempfile.TemporaryFile('w+', encoding='utf-8') as file:
    faulthandler.dump_traceback(file, all_threads=True)
    file.seek(0)
    return file.read()
