"""Saves and restores the state of a run.

    run_dir/checkpoint.json      describes the folder (see `describe`)
    run_dir/damaged_steps/<n>    unreadable steps, moved out of the way
    run_dir/steps/<n>/params     Orbax, one folder an item
                      ema
                      optimizer
                      counters   JSON: step, batches seen of each unit, ...

Orbax writes a step into a folder with another name and renames it when it is
whole, so a step that a crash cut short is never taken for a finished one.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
import contextlib
import json
import os
import pathlib
import re
import time
from typing import Any

import jax
import orbax.checkpoint as ocp

from videopoet_jax.checkpoints import best as best_lib
from videopoet_jax.checkpoints import contents
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import quiet
from videopoet_jax.core import errors
from videopoet_jax.core import low_rank
from videopoet_jax.core import storage
from videopoet_jax.parallel import start

STEPS_FOLDER = 'steps'
# Unreadable steps that were skipped when a run resumed from an earlier one.
DAMAGED_FOLDER = 'damaged_steps'
COUNTERS = 'counters'

_READING_PAUSES = (1.0, 5.0)  # Seconds before a step is read again.

# Parts of a description that have to agree for a run to resume.
_MUST_AGREE = (
  'kind',
  'config',
  'vocabulary',
  'layouts',
  'space',
  'visual',
  'low_visual',
  'units',
  'text_tokenizer',
  'text_encoder',
  'fingerprints',
  low_rank.KEY,
)
# These must also be present in both or absent from both.
_ABSENT_IS_NONE = (low_rank.KEY,)


# gin's name of the config of each kind of model.
_GIN_NAMES = {
  'prefix_lm': 'PrefixLMConfig',
  'super_resolution': 'SuperResolutionConfig',
  'visual_tokenizer': 'VisualTokenizerConfig',
  'audio_tokenizer': 'SoundStreamConfig',
}


def differences(found: Any, expected: Any, name: str = '') -> list[str]:
  """Lists the differences of two descriptions: `config.depth: 4 and 6`."""
  if isinstance(found, Mapping) and isinstance(expected, Mapping):
    result = []
    for key in sorted({*found, *expected}, key=str):
      inner = f'{name}.{key}' if name else str(key)
      result += differences(found.get(key), expected.get(key), inner)
    return result
  if found == expected:
    return []
  return [f'{name}: {_short(found)} and {_short(expected)}']


def _short(value: Any) -> str:
  text = repr(value)
  return text if len(text) <= 60 else text[:57] + '...'


def check_description(
  directory: pathlib.Path,
  expected: Mapping[str, Any],
  keys: tuple[str, ...] = _MUST_AGREE,
) -> dict[str, Any]:
  """Reads a folder's description and compares it with the expected one.

  Args:
    directory: the checkpoint folder.
    expected: a description; only `keys` that it holds are compared.
    keys: which parts must be equal.

  Returns:
    The folder's description.

  Raises:
    CheckpointError: it is unreadable, of another kind, or differs; the
      message lists the first differences.
  """
  found = describe.read_description(directory, expected.get('kind'))
  check_same(directory, found, expected, keys)
  return found


def check_same(
  directory: pathlib.Path,
  found: Mapping[str, Any],
  expected: Mapping[str, Any],
  keys: tuple[str, ...] = _MUST_AGREE,
) -> None:
  """Compares the description of a folder with the expected one.

  Args:
    directory: the checkpoint folder, for messages.
    found: its description.
    expected: a description; only `keys` that it holds are compared.
    keys: which parts must be equal.

  Raises:
    CheckpointError: it differs; the message lists the first differences.
  """
  expected = json.loads(json.dumps(dict(expected)))  # Tuples become lists.
  wrong = []
  for key in keys:
    in_both = key in expected and key in found
    if in_both or key in _ABSENT_IS_NONE:
      name = _GIN_NAMES.get(found['kind'], key) if key == 'config' else key
      wrong += differences(found.get(key), expected.get(key), name)
  if wrong:
    more = f' and {len(wrong) - 4} more' if len(wrong) > 4 else ''
    raise errors.CheckpointError(
      f'the checkpoint folder {directory} is of another model; in the folder '
      f'and wanted here: {"; ".join(wrong[:4])}{more}. Give the settings it '
      'was trained with, or another folder'
    )


class Manager:
  """The checkpoints of one run."""

  def __init__(
    self,
    directory: str | os.PathLike[str],
    description: Mapping[str, Any],
    *,
    keep: int = 2,
    keep_every: int = 0,
    best: best_lib.Best | None = None,
    asynchronous: bool = True,
    settings: Mapping[str, Any] | None = None,
    log: Callable[[str], None] = print,
  ) -> None:
    """Opens or makes a run's folder.

    Args:
      directory: the run's folder.
      description: JSON values for `checkpoint.json`, `kind` among them.
      keep: newest steps that are kept.
      keep_every: steps that are multiples of this are kept for good; 0 none.
      best: the best step, which is kept, too.
      asynchronous: whether saving overlaps with training.
      settings: gin's names and values of the settings that decide which arrays
        a step holds; the message names them where a step holds others.
      log: receives the names of steps that cannot be used.

    Raises:
      CheckpointError: the folder cannot be written, or holds a run of another
        model.
    """
    self._directory = storage.absolute(directory)
    self._log = log
    self._settings = dict(settings or {})
    self._saving = 0  # The step that was saved last, perhaps not yet on disk.
    quiet.saving()
    if (self._directory / describe.FILE_NAME).exists():
      check_description(self._directory, description)
    elif self.has_steps():
      raise errors.CheckpointError(
        f'{self._directory} holds steps and no {describe.FILE_NAME}: it is not '
        'a run of ours, or half copied; give another folder'
      )
    # No process reads what another one is about to write.
    start.barrier('run folder is looked at')
    if jax.process_index() == 0:
      describe.write_description(self._directory, description)
      self._check_writable()
    start.barrier('run folder is there')
    for name in unfinished_steps(self._directory):
      log(f'removing {name}: its saving was cut short')
    self._best = best or best_lib.Best()
    self._read_best()
    keeping = [ocp.checkpoint_managers.LatestN(keep), self._best]
    if keep_every:
      keeping.append(ocp.checkpoint_managers.EveryNSteps(keep_every))
    self._manager = _CheckpointManager(
      self._directory / STEPS_FOLDER,
      options=ocp.CheckpointManagerOptions(
        create=False,
        preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy(
          keeping
        ),
        enable_async_checkpointing=asynchronous,
        cleanup_tmp_directories=True,
        save_root_metadata=False,
        multiprocessing_options=_multiprocessing(),
      ),
    )
    start.barrier('checkpoints are open')

  def has_steps(self) -> bool:
    return bool(complete_steps(self._directory))

  def _read_best(self) -> None:
    steps = complete_steps(self._directory)
    self._best.read({step: self._folder(step) for step in steps})

  def _folder(self, step: int) -> pathlib.Path:
    return self._directory / STEPS_FOLDER / str(step)

  def _check_writable(self) -> None:
    probe = self._directory / '.probe'
    try:
      (self._directory / STEPS_FOLDER).mkdir(exist_ok=True)
      probe.touch()
      probe.unlink()
    except OSError as error:
      raise errors.CheckpointError(
        f'cannot write the run folder {self._directory}: '
        f'{storage.failure(error)}; give a folder that can be written '
        '(--run_dir)'
      ) from error

  def is_best(self, scores: Mapping[str, float]) -> bool:
    """Whether a validation beats those of all steps saved so far."""
    return self._best.is_best(scores)

  def save(
    self,
    step: int,
    items: Mapping[str, Any],
    counters: Mapping[str, Any],
    scores: Mapping[str, float] | None = None,
  ) -> None:
    """Saves a step; returns as soon as the arrays are copied off the device.

    Args:
      step: number of steps done; one that is saved already is left alone.
      items: pytrees of arrays by item name ('params', 'ema', 'optimizer').
      counters: JSON values.
      scores: metrics of the validation at this step, if there was one.
    """
    if step in self._manager.all_steps():
      return
    counters = {
      **counters,
      best_lib.SCORES: dict(scores or {}),
      contents.ITEMS: sorted([*items, COUNTERS]),
      contents.SETTINGS: self._settings,
    }
    self._best.note(step, scores or {})
    args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    args[COUNTERS] = ocp.args.JsonSave(counters)
    with self._storage_errors():
      # A save before this one is over now, or raises here.
      self._manager.wait_until_finished()
      self._saving = step
      self._manager.save(step, args=ocp.args.Composite(**args))

  @contextlib.contextmanager
  def _storage_errors(self) -> Iterator[None]:
    """Converts errors of storage into a CheckpointError, in any thread.

    Orbax writes in threads and raises at the next call; TensorStore raises
    ValueErrors with the system's words in them.
    """
    try:
      yield
    except Exception as error:
      reason = storage.failure(error)
      if not reason:
        raise
      newest = max(complete_steps(self._directory), default=None)
      rest = 'no step is saved yet'
      if newest is not None:
        rest = f'step {newest} is whole, and the run resumes from it'
      raise errors.CheckpointError(
        f'cannot save step {self._saving} in {self._directory}: {reason}; make '
        'room and '
        f'start again, or give another --run_dir; {rest}'
      ) from error

  def restore(
    self, target: Mapping[str, Any], *, optional: Collection[str] = ()
  ) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Reads the newest complete step onto the devices that `target` names.

    If a step cannot be read in several attempts, it is named and the one before
    is tried. If that one can be read, the later ones are moved to
    `DAMAGED_FOLDER`: they would be in the way of saving, and the storage rather
    than the steps may be at fault.

    A step that is complete and holds other arrays is not damaged, and stays.

    Args:
      target: pytrees of `jax.ShapeDtypeStruct` with shardings, by item name.
      optional: items that are left out where a step was saved without them.

    Returns:
      The items and the counters, or None where nothing was saved yet.

    Raises:
      CheckpointError: there are steps and none can be used, or the newest has
        other items, shapes or dtypes than the target.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    everything = target
    for step in steps:
      folder = self._folder(step)
      held = contents.items(folder)
      target = {
        name: tree
        for name, tree in everything.items()
        if held is None or name in held or name not in optional
      }
      missing = [
        name for name in (*target, COUNTERS) if not (folder / name).is_dir()
      ]
      if missing:
        self._log(f'skipping {folder}: it is damaged (no {missing[0]})')
        continue
      contents.check(folder, target, self._settings)
      reason = ''
      items: dict[str, Any] = {}
      counters: dict[str, Any] = {}
      for pause in (*_READING_PAUSES, None):
        try:
          items, counters = _read(folder, target)
          reason = ''
          break
        # Orbax and TensorStore raise many kinds of errors for damaged files,
        # and
        # for storage that does not answer.
        except Exception as error:
          reason = (str(error).splitlines() or [''])[0][:200] or 'unreadable'
        if pause is not None:
          time.sleep(pause)
      if not start.all_agree(not reason, f'step {step} is read'):
        reason = reason or 'another process cannot read its part'
        self._log(f'skipping {folder}: it is damaged ({reason})')
        continue
      self._say_what_is_left_out(folder, everything, held or set())
      self._set_aside(steps[: steps.index(step)])
      for name in (best_lib.SCORES, contents.ITEMS, contents.SETTINGS):
        counters.pop(name, None)
      return items, counters
    if steps:
      raise errors.CheckpointError(
        f'no step in {self._directory / STEPS_FOLDER} can be read (tried '
        f'{", ".join(map(str, steps))}): start afresh in another --run_dir'
      )
    return None

  def _say_what_is_left_out(
    self, folder: pathlib.Path, wanted: Mapping[str, Any], held: set[str]
  ) -> None:
    unused = sorted(held - {*wanted, COUNTERS})
    if unused:
      why = contents.changes(folder, self._settings)
      self._log(
        f'{folder} also holds {", ".join(unused)}, which this run leaves out'
        + (f': {why}' if why else '')
      )

  def _set_aside(self, steps: Sequence[int]) -> None:
    """Moves steps out of the way."""
    if not steps:
      return
    aside = self._directory / DAMAGED_FOLDER
    if jax.process_index() == 0:
      for step in steps:
        target, number = aside / str(step), 1
        while target.exists():
          target, number = aside / f'{step}.{number}', number + 1
        try:
          storage.move_folder(self._folder(step), target)
        except OSError as error:
          raise errors.CheckpointError(
            f'{self._folder(step)} cannot be moved to {target} '
            f'({error.strerror or error}); move or delete it, and start again'
          ) from error
        self._log(f'{self._folder(step)} is in {target} now')
    start.barrier('damaged steps are set aside')
    self._manager.reload()
    self._read_best()

  def wait(self) -> None:
    """Waits until the save is on disk; raises CheckpointError if it failed."""
    with self._storage_errors():
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, and ends Orbax's threads; raises CheckpointError like `wait`."""
    try:
      self.wait()
    finally:
      with self._storage_errors():
        self._manager.close()


class _CheckpointManager(ocp.CheckpointManager):
  """Orbax's manager without its check for preemption, which the loop does.

  Orbax asks JAX in its own thread, with the number of a step that is long done.
  JAX takes it for the current step of the process, and may then choose a
  stopping step that the other processes have already passed: they would never
  stop.
  """

  def reached_preemption(self, step: int) -> bool:
    del step
    return False


def _multiprocessing() -> ocp.options.MultiprocessingOptions:
  """Makes processes wait for each other by the coordination service.

  Unless its processes are named, Orbax's barriers are collectives on the
  devices, which do not depend on the step that still runs there and may
  overtake it on one host and not on another (see `start.initialize`).
  """
  if jax.process_count() == 1:
    return ocp.options.MultiprocessingOptions()
  return ocp.options.MultiprocessingOptions(
    active_processes=set(range(jax.process_count()))
  )


def _read(
  folder: pathlib.Path, target: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Reads one step without waiting for other processes.

  A process that cannot read its part would leave the others at a barrier,
  so the handlers are called directly, without the manager.
  """
  standard = ocp.StandardCheckpointHandler()
  try:
    items = {
      name: standard.restore(folder / name, args=ocp.args.StandardRestore(tree))
      for name, tree in target.items()
    }
  finally:
    standard.close()
  counters = ocp.JsonCheckpointHandler().restore(
    folder / COUNTERS, args=ocp.args.JsonRestore()
  )
  return items, counters


def complete_steps(directory: pathlib.Path) -> list[int]:
  """Numbers of the finished steps in a run's folder, oldest first."""
  folder = directory / STEPS_FOLDER
  if not folder.is_dir():
    return []
  return sorted(
    int(path.name)
    for path in folder.iterdir()
    if re.fullmatch(r'\d+', path.name) and contents.is_finished(path)
  )


def unfinished_steps(directory: pathlib.Path) -> list[str]:
  """Names of folders that an interrupted save has left."""
  folder = directory / STEPS_FOLDER
  if not folder.is_dir():
    return []
  return sorted(
    p.name
    for p in folder.iterdir()
    if 'checkpoint-tmp' in p.name
    or (
      re.fullmatch(r'\d+', p.name)
      and p.is_dir()
      and not contents.is_finished(p)
    )
  )
