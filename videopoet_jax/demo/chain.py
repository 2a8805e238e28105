"""A chain of stages that resumes: what is done and unchanged is not done again.

Every stage has a fingerprint of its settings and of the stages it builds on.
A finished stage leaves a marker with its fingerprint; one whose settings have
changed since is done again, and so is all that builds on it.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import threading
import time
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.demo import screen as screen_lib

MARKERS_FOLDER = 'stages'
_TICK_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Stage:
  """One step of the chain.

  Attributes:
    name: name of the stage and of its marker.
    title: what it does, in words for the screen.
    run: does it; resumes what an interrupted run of it left.
    settings: JSON values that its result depends on.
    needs: names of the stages whose results it uses.
    planned: seconds expected on two quiet cores.
    outputs: paths below the chain's folder that must exist for the stage to
      count as done, and that go when it is done anew.
    leftovers: paths that may exist besides, and go with the outputs.
  """

  name: str
  title: str
  run: Callable[[], None]
  settings: Any
  needs: tuple[str, ...] = ()
  planned: float = 0.0
  outputs: tuple[str, ...] = ()
  leftovers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Done:
  """What is known of a finished stage.

  Attributes:
    name: name of the stage.
    seconds: time that it took, over all the runs it needed.
    planned: time that was planned.
    reused: whether it was found finished.
  """

  name: str
  seconds: float
  planned: float
  reused: bool


class Chain:
  """Runs stages in order within one folder."""

  def __init__(
    self,
    stages: Sequence[Stage],
    folder: str | os.PathLike[str],
    screen: screen_lib.Screen | None = None,
    clock: Callable[[], float] = time.monotonic,
  ) -> None:
    """Prepares the folder.

    Args:
      stages: stages in the order to run them.
      folder: folder of all results; the markers go to `stages/` in it.
      screen: shows how far the chain is; nothing is shown without.
      clock: seconds; a test gives its own.

    Raises:
      DataError: the folder cannot be written.
    """
    self._stages = tuple(stages)
    self._folder = pathlib.Path(folder)
    self._markers = self._folder / MARKERS_FOLDER
    self._screen = screen or screen_lib.Screen()
    self._clock = clock
    self._fingerprints: dict[str, str] = {}
    try:
      self._markers.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise errors.DataError(
        f'cannot write {self._folder}: {error.strerror}; give an --out that '
        'can be written.'
      ) from error

  def run(self, only: str | None = None) -> list[Done]:
    """Runs every stage that is not done.

    Args:
      only: a stage to run again though it is done, with nothing after it;
        the stages before it run if they are not done.

    Returns:
      One entry for each stage that was run or found finished, in order.

    Raises:
      ConfigError: there is no stage `only`.
    """
    names = [stage.name for stage in self._stages]
    if only is not None and only not in names:
      hint = errors.near_names(only, names)
      raise errors.ConfigError(f'--stage: there is no stage {only!r}{hint}.')
    results: list[Done] = []
    for index, stage in enumerate(self._stages):
      fingerprint = self._fingerprint(stage)
      marker = self._read(stage)
      state = self._state(stage, marker, fingerprint)
      if state == 'done' and stage.name != only:
        results.append(Done(stage.name, marker['seconds'], stage.planned, True))
        self._screen.line(
          f'[{index + 1}/{len(names)}] {stage.title}: done before, reused'
        )
        continue
      if state == 'changed':
        self._screen.line(
          f'[{index + 1}/{len(names)}] {stage.title}: the settings have '
          'changed since it was done; doing it again'
        )
      if state != 'begun':
        # Nothing of other settings, or half of what there was, may stay.
        self._remove(stage)
        marker = {}
      before = marker.get('seconds', 0.0)
      results.append(self._run(stage, index, fingerprint, before))
      if stage.name == only:
        break
    return results

  def _run(
    self,
    stage: Stage,
    index: int,
    fingerprint: str,
    before: float,
  ) -> Done:
    label = f'[{index + 1}/{len(self._stages)}] {stage.title}'
    self._screen.begin()
    started = self._clock()

    def mark(finished: bool) -> float:
      seconds = before + self._clock() - started
      self._write(stage, fingerprint, seconds, finished)
      return seconds

    mark(finished=False)
    try:
      with self._ticking(label, stage, index, before):
        stage.run()
    except BaseException:
      mark(finished=False)
      raise
    seconds = mark(finished=True)
    self._screen.line(f'{label}: took {progress.duration(seconds)}')
    return Done(stage.name, seconds, stage.planned, False)

  def left(self, index: int, elapsed: float) -> float:
    """Seconds expected until the whole chain is done.

    Args:
      index: index of the running stage.
      elapsed: seconds that it has run.

    Returns:
      The plan of what is left, stretched by how the finished stages kept to
      theirs.
    """
    took = self._passed(index)
    planned = sum(stage.planned for stage in self._stages[:index])
    pace = min(max(took / planned, 0.5), 4.0) if planned and took else 1.0
    rest = sum(stage.planned for stage in self._stages[index + 1 :])
    return pace * (max(self._stages[index].planned - elapsed / pace, 0) + rest)

  def _passed(self, index: int) -> float:
    """Seconds that the stages before one took."""
    return sum(self._read(s).get('seconds', 0.0) for s in self._stages[:index])

  @contextlib.contextmanager
  def _ticking(
    self, label: str, stage: Stage, index: int, before: float
  ) -> Iterator[None]:
    """Shows now and then how far the whole chain is."""
    started = self._clock()
    over = threading.Event()

    def show() -> None:
      now = self._clock()
      elapsed = before + now - started
      left = self.left(index, elapsed)
      text = f'{label} {progress.clock(elapsed)}'
      if stage.planned:
        text += f'/{progress.clock(stage.planned)}'
      if left:
        text += f', {progress.clock(left)} left in all'
      passed = self._passed(index) + elapsed
      self._screen.show(text, passed / max(passed + left, 1e-9))

    def tick() -> None:
      while not over.wait(self._screen.interval):
        show()

    show()
    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
      yield
    finally:
      over.set()
      thread.join()

  # Markers.

  def _fingerprint(self, stage: Stage) -> str:
    needed = {name: self._fingerprints[name] for name in stage.needs}
    text = json.dumps([stage.settings, needed], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    self._fingerprints[stage.name] = digest
    return digest

  def _state(self, stage: Stage, marker: Any, fingerprint: str) -> str:
    if not marker:
      return 'new'
    if marker.get('fingerprint') != fingerprint:
      return 'changed'
    if not marker.get('finished'):
      return 'begun'
    present = all((self._folder / path).exists() for path in stage.outputs)
    return 'done' if present else 'new'

  def _path(self, stage: Stage) -> pathlib.Path:
    return self._markers / f'{stage.name}.json'

  def _read(self, stage: Stage) -> dict[str, Any]:
    try:
      return json.loads(self._path(stage).read_text())
    except (OSError, ValueError):
      return {}  # Never begun, or cut short while writing: both mean anew.

  def _write(
    self, stage: Stage, fingerprint: str, seconds: float, finished: bool
  ) -> None:
    value = {
      'stage': stage.name,
      'fingerprint': fingerprint,
      'seconds': round(seconds, 2),
      'finished': finished,
    }
    storage.write_whole(self._path(stage), json.dumps(value))

  def _remove(self, stage: Stage) -> None:
    for name in (*stage.outputs, *stage.leftovers):
      remove(self._folder / name)
    self._path(stage).unlink(missing_ok=True)


def remove(path: pathlib.Path) -> None:
  """Removes a file or a folder with all that is in it, if it is there."""
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)
