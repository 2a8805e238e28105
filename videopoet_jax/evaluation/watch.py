"""Evaluates the steps that a training run saves, and keeps the best."""

from collections.abc import Callable, Sequence
import dataclasses
import pathlib
import time

import jax
import numpy as np

from videopoet_jax.checkpoints import best as best_lib
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import opened as opened_lib
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.evaluation import checkpoint_choice
from videopoet_jax.evaluation import results as results_lib
from videopoet_jax.evaluation import sample_store
from videopoet_jax.parallel import start

BEST = 'best'
_BEST_FILE = 'best.json'
_NONE = -1


@dataclasses.dataclass(frozen=True)
class WatchConfig:
  """When watching a folder ends.

  Attributes:
    until_step: ends once a step of at least this number is evaluated; 0 sets no
      limit.
    idle_minutes: ends after this time without a new step; 0 continues.
    poll_seconds: seconds between two checks of the folder.
  """

  until_step: int = 0
  idle_minutes: float = 60.0
  poll_seconds: float = 10.0

  def __post_init__(self) -> None:
    errors.check_range(self, 'until_step', 'idle_minutes')
    errors.check_range(self, 'poll_seconds', above=True)


def watch(
  folder: pathlib.Path,
  evaluate: Callable[[checkpoint_choice.Checkpoint], None],
  is_done: Callable[[checkpoint_choice.Checkpoint], bool],
  config: WatchConfig,
  *,
  log: Callable[[str], None] = print,
) -> None:
  """Evaluates every available step of a run, the newest first.

  The run may remove a step before or while it is read: that step is left out.
  All processes have to call this, and process the same steps.

  Args:
    folder: folder of the run; need not exist yet.
    evaluate: function that evaluates one checkpoint.
    is_done: whether a checkpoint was evaluated before.
    config: when to end.
    log: receives lines for the screen.

  Raises:
    UserError: an available step cannot be evaluated.
  """
  seen: set[int] = set()
  last_new = time.monotonic()
  while True:
    step = _agreed(_newest(folder, seen))
    if step == _NONE:
      reached = config.until_step and max(seen, default=0) >= config.until_step
      idle = time.monotonic() - last_new
      ended = config.idle_minutes and idle > 60 * config.idle_minutes
      if _agreed(int(bool(reached or ended))):
        log(_reason(folder, config, bool(reached)))
        return
      time.sleep(config.poll_seconds)
      continue
    seen.add(step)
    last_new = time.monotonic()
    try:
      checkpoint = checkpoint_choice.find(folder, step)
      if not is_done(checkpoint):
        evaluate(checkpoint)
    except (errors.CheckpointError, OSError):
      if step in opened_lib.saved_steps(folder):
        raise
      log(f'step {step} was removed before it was read: left out')
    last_new = time.monotonic()


def _newest(folder: pathlib.Path, seen: set[int]) -> int:
  steps = opened_lib.saved_steps(folder)
  return max((step for step in steps if step not in seen), default=_NONE)


def _agreed(number: int) -> int:
  """Returns process 0's number on all processes."""
  if jax.process_count() == 1:
    return number
  from jax.experimental import multihost_utils

  start.barrier('watched folder')
  return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def _reason(folder: pathlib.Path, config: WatchConfig, reached: bool) -> str:
  if reached:
    return f'{folder}: step {config.until_step} is evaluated'
  return f'{folder}: nothing new for {config.idle_minutes:g} minutes'


class BestKeeper:
  """Keeps a copy of the best checkpoint by one metric.

  OUT/best/         a checkpoint folder, for `videopoet generate`
  OUT/best.json     its step and the value of the metric
  """

  def __init__(
    self, out: pathlib.Path, metric: str, log: Callable[[str], None] = print
  ) -> None:
    """Reads the best checkpoint so far.

    Args:
      out: folder of the job.
      metric: `metric/task`; `metric/*` is the mean over tasks; '' keeps none.
      log: receives lines for the screen.
    """
    self._out = out
    self._metric = metric
    self._log = log
    self._best: best_lib.Best | None = None

  def note(
    self,
    checkpoint: checkpoint_choice.Checkpoint,
    results: Sequence[results_lib.Result],
  ) -> bool:
    """Copies the checkpoint if it is the best so far; returns whether it is.

    Raises:
      ConfigError: there is no result for the metric.
    """
    if not self._metric:
      return False
    value, higher = score(results, self._metric)
    if self._best is None:
      self._best = best_lib.Best(self._metric, higher)
      found = sample_store.read_json(self._out / _BEST_FILE)
      if found and found.get('figure') == self._metric:
        self._best.note(found['step'] or 0, {self._metric: found['value']})
    scores = {self._metric: value}
    if not self._best.is_best(scores):
      return False
    self._best.note(checkpoint.step or 0, scores)
    self._copy(checkpoint)
    sample_store.write_json(
      self._out / _BEST_FILE,
      {
        'figure': self._metric,
        'value': value,
        'step': checkpoint.step,
        'checkpoint': str(checkpoint.folder),
        'model': checkpoint.fingerprint,
      },
    )
    self._log(f'best so far by {self._metric}: step {checkpoint.step}')
    return True

  def _copy(self, checkpoint: checkpoint_choice.Checkpoint) -> None:
    whole, partial = self._out / BEST, self._out / f'{BEST}.partial'
    storage.remove_folder(partial)
    export.export_opened(checkpoint.opened, partial, checkpoint.step)
    storage.remove_folder(whole)
    if storage.is_remote(self._out):
      storage.copy_folder(partial, whole, 'checkpoint.json')
      storage.remove_folder(partial)
    else:
      partial.replace(whole)


def score(
  results: Sequence[results_lib.Result], name: str
) -> tuple[float, bool]:
  """The value of `metric/task` or of `metric/*`, and whether more is better.

  Raises:
    ConfigError: there is no result for the metric.
  """
  metric, _, task = name.partition('/')
  about = [r for r in results if r.metric == metric and task in ('*', r.task)]
  if not about:
    hint = errors.near_names(name, [r.name for r in results])
    raise errors.ConfigError(
      f'--best {name!r} is not a metric of the protocol{hint}; expected '
      'METRIC/TASK, or METRIC/* for the mean over tasks.'
    )
  value = float(np.mean([r.value for r in about]))
  return value, about[0].higher_is_better
