"""Trains an experiment that gin files or plain objects describe."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import os
import pathlib
import time
from typing import Any

import gin
import jax

from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import folders as folders_lib
from videopoet_jax.checkpoints import manager
from videopoet_jax.checkpoints import t5x_convert
from videopoet_jax.core import bindings as bindings_lib
from videopoet_jax.core import config as config_lib
from videopoet_jax.core import errors
from videopoet_jax.core import gin_state
from videopoet_jax.core import low_rank as low_rank_lib
from videopoet_jax.core import storage
from videopoet_jax.experiments import experiment as experiment_lib
from videopoet_jax.experiments import prefix_lm
from videopoet_jax.experiments import super_resolution
from videopoet_jax.experiments import tokenizers
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.parallel import start
from videopoet_jax.training import loop as loop_lib
from videopoet_jax.training import loop_config
from videopoet_jax.training import low_rank as low_rank_training
from videopoet_jax.training import optimizers
from videopoet_jax.training import watchdog as watchdog_lib

# Imported to register their configurables with gin.
FACTORIES = (
  tokenizers.visual_tokenizer,
  tokenizers.audio_tokenizer,
  prefix_lm.prefix_lm,
  super_resolution.super_resolution,
)
CONFIG_FILE = 'config.gin'
# A run that receives a signal saves before it stops.
_STOPPING_SECONDS = 60


def train(
  experiment: experiment_lib.Experiment
  | Callable[[], experiment_lib.Experiment],
  run_dir: str | os.PathLike[str],
  *,
  init_from: str | os.PathLike[str] | None = None,
  log: Callable[[str], None] | None = None,
) -> loop_lib.Result:
  """Trains; called again with the same folder, it resumes.

  Args:
    experiment: run to train, or a function that opens it, which is called when
      the run's folder is there.
    run_dir: the run's folder, which holds a usable checkpoint after the first
      save.
    init_from: folder of a checkpoint whose parameters a fresh run begins with.
    log: receives lines of progress; without it nothing is printed.

  Returns:
    State and metrics of the last completed step.

  Raises:
    UserError: something does not match, or the folder cannot be written.
  """
  log = log or (lambda line: None)
  folder = storage.path(run_dir)
  # A folder that cannot be written is reported before data is opened.
  folders_lib.copy({}, folder)
  if callable(experiment):
    experiment = experiment()
  with _alone_in(folder, log):
    return _train(experiment, folder, init_from, log)


def _train(
  experiment: experiment_lib.Experiment,
  run_dir: pathlib.Path,
  init_from: str | os.PathLike[str] | None,
  log: Callable[[str], None],
) -> loop_lib.Result:
  parts = experiment.parts
  if experiment.low_rank is not None:
    adapted = low_rank_training.LowRankTrainable(
      parts.trainable, experiment.low_rank
    )
    parts = dataclasses.replace(parts, trainable=adapted)
  low_rank_training.check_start(parts.trainable, run_dir, init_from)
  t5x_convert.check_other(run_dir, is_t5x=False)
  if jax.process_index() == 0:
    for note in parts.notes:
      log(note)
    if (run_dir / describe.FILE_NAME).exists():
      # Before any file of it is overwritten.
      manager.check_description(run_dir, parts.trainable.describe())
    folders_lib.copy(parts.folders, run_dir)
    if experiment.config_text:
      _write_config(run_dir, experiment.config_text)
  result = loop_lib.run(
    parts.trainable,
    parts.batches,
    run_dir,
    config=experiment.loop,
    optimizer=experiment.optimizer,
    mesh=experiment.mesh,
    rules=experiment.rules,
    validation=parts.validation,
    init_from=init_from,
    watchdog=experiment.watchdog,
    log=log,
  )
  if parts.finish is not None and result.steps >= experiment.loop.total_steps:
    parts.finish(start.to_host(result.params), run_dir)
  return result


def _write_config(run_dir: pathlib.Path, text: str) -> None:
  try:
    (run_dir / CONFIG_FILE).write_text(text)
  except OSError as error:
    raise errors.CheckpointError(
      f'cannot write {run_dir / CONFIG_FILE}: {storage.failure(error)}; make '
      'room, or give a --run_dir that can be written'
    ) from error


@contextlib.contextmanager
def _alone_in(
  run_dir: str | os.PathLike[str], log: Callable[[str], None]
) -> Iterator[None]:
  """Locks a folder for this run, waiting for a run that is stopping."""
  with contextlib.ExitStack() as stack:
    for second in range(_STOPPING_SECONDS + 1):
      try:
        if jax.process_index() == 0:
          stack.enter_context(storage.held(run_dir))
        break
      except BlockingIOError as error:
        if second == _STOPPING_SECONDS:
          raise errors.CheckpointError(
            f'another run is writing to {run_dir}; wait until it has ended, or '
            'give another --run_dir'
          ) from error
        if not second:
          log(f'waiting for another run that is writing to {run_dir}')
        time.sleep(1)
    yield


@gin.configurable('train')
def _bound(
  *,
  parts: experiment_lib.Parts = gin.REQUIRED,
  loop: loop_config.LoopConfig = gin.REQUIRED,
  optimizer: optimizers.OptimizerConfig = gin.REQUIRED,
  mesh: mesh_lib.MeshConfig | None = None,
  rules: rules_lib.Rules = rules_lib.STANDARD,
  watchdog: watchdog_lib.WatchdogConfig | None = None,
  low_rank: low_rank_lib.LowRankConfig | None = None,
) -> experiment_lib.Experiment:
  return experiment_lib.Experiment(
    parts,
    loop,
    optimizer,
    mesh or mesh_lib.MeshConfig(),
    rules,
    watchdog or watchdog_lib.WatchdogConfig(),
    low_rank,
    # It is stored with the run, to be read and to be repeated.
    config_lib.text(),
  )


def bound() -> dict[str, Any]:
  """Returns what gin binds of `Experiment`, by name.

  Configs are checked before data is opened. Other trainers use it with the same
  gin files.

  Raises:
    UserError: a value is invalid, or nothing is bound to train.
  """
  bindings_lib.build_configs(_bound)
  found = gin.get_bindings(_bound)
  if found.get('parts') is None:
    raise errors.ConfigError(
      'train.parts is required and still open: give a run file, such as '
      '--gin_file gin/runs/media_prefix_lm.gin'
    )
  return found


def from_gin(
  gin_files: str | Sequence[str],
  bindings: Sequence[str] | Mapping[str, Any] = (),
  task_files: Sequence[str | os.PathLike[str]] = (),
  **macros: Any,
) -> experiment_lib.Experiment:
  """Returns the experiment that gin files describe, and opens its data.

  The caller's own gin configuration stays as it is.

  Args:
    gin_files: paths or shipped files such as `gin/runs/media_prefix_lm.gin`;
      later ones win.
    bindings: `NAME = VALUE` each, in gin's syntax, after the files; or values
      by name: `{'load_tasks.tasks': ['text_to_video']}`.
    task_files: tasks in addition to those of the run.
    **macros: values of macros, such as `TOKENS='data/tokens'` or `STEPS=100`.

  Raises:
    UserError: a name, a value or a folder is wrong.
  """
  files = [gin_files] if isinstance(gin_files, str) else gin_files
  # Paths are written as strings.
  given = config_lib.as_lines(
    {
      name: os.fspath(value) if isinstance(value, os.PathLike) else value
      for name, value in macros.items()
    }
  )
  listed = [os.fspath(name) for name in task_files]
  with gin_state.isolated():
    config_lib.parse(files, [*config_lib.as_lines(bindings), *given], listed)
    if listed:
      _check_takes_tasks(listed)
      with gin.unlock_config():
        gin.bind_parameter('prefix_lm.task_files', tuple(listed))
    return config_lib.call(_bound)


def _check_takes_tasks(task_files: Sequence[str]) -> None:
  """Raises ConfigError if the run trains something without tasks."""
  try:
    trained = gin.query_parameter('train.parts')
  except ValueError:
    return  # What is missing is reported later.
  name = str(getattr(trained, 'selector', '')).split('.')[-1]
  if name and name != 'prefix_lm':
    raise errors.ConfigError(
      f'--task_file {task_files[0]} cannot act: the run trains {name}, and '
      'only prefix_lm has tasks; leave it out.'
    )
