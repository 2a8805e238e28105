"""`videopoet train`: trains a tokenizer, the language model, super-resolution.

  videopoet train --gin_file gin/runs/shapes_visual_tokenizer.gin \
    --gin.MEDIA="'data/shapes'" --run_dir runs/visual

Started again with the same --run_dir it goes on after the newest checkpoint.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import os
import pathlib
import sys
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
from videopoet_jax.core import low_rank as low_rank_lib
from videopoet_jax.core import storage
from videopoet_jax.jobs import cli
from videopoet_jax.jobs.factories import language
from videopoet_jax.jobs.factories import parts as parts_lib
from videopoet_jax.jobs.factories import super_resolution
from videopoet_jax.jobs.factories import tokenizers
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.parallel import start
from videopoet_jax.training import loop as loop_lib
from videopoet_jax.training import low_rank as low_rank_training
from videopoet_jax.training import optimizers
from videopoet_jax.training import watchdog as watchdog_lib

# Imported for what they register with gin.
FACTORIES = (
  tokenizers.visual_tokenizer,
  tokenizers.audio_tokenizer,
  language.prefix_lm,
  super_resolution.super_resolution,
)
CONFIG_FILE = 'config.gin'
# A run that is told to stop saves first.
_STOPPING_SECONDS = 60


def train(
  *,
  parts: parts_lib.Parts,
  run_dir: str | os.PathLike[str],
  loop: loop_lib.LoopConfig,
  optimizer: optimizers.OptimizerConfig,
  mesh: mesh_lib.MeshConfig | None = None,
  rules: rules_lib.Rules = rules_lib.STANDARD,
  init_from: str | os.PathLike[str] | None = None,
  watchdog: watchdog_lib.WatchdogConfig | None = None,
  low_rank: low_rank_lib.LowRankConfig | None = None,
  config_text: str = '',
  say: Callable[[str], None] = print,
) -> loop_lib.Result:
  """Trains; needs no gin.

  Args:
    parts: what to train, and on what.
    run_dir: the run's folder; holds a usable checkpoint after the first save.
    loop: length, saving and logging.
    optimizer: which, and its rates.
    mesh: devices along each axis; all of them for data unless given.
    rules: logical to mesh axes.
    init_from: checkpoint folder whose parameters a fresh run begins with.
    watchdog: when the run counts as hung.
    low_rank: adapters to train in place of all parameters, with `init_from`.
    config_text: what `config.gin` of the run's folder is to hold.
    say: takes lines for the screen.

  Returns:
    State and figures of the last step done.

  Raises:
    UserError: something does not fit, or the folder cannot be written.
  """
  run_dir = storage.path(run_dir)
  if low_rank is not None:
    adapted = low_rank_training.LowRankTrainable(parts.trainable, low_rank)
    parts = dataclasses.replace(parts, trainable=adapted)
  low_rank_training.check_start(parts.trainable, run_dir, init_from)
  t5x_convert.check_other(run_dir, is_t5x=False)
  if jax.process_index() == 0:
    for note in parts.notes:
      say(note)
    if (run_dir / describe.FILE_NAME).exists():
      # Before anything of it is written over.
      manager.check_description(run_dir, parts.trainable.describe())
    folders_lib.copy(parts.folders, run_dir)
    if config_text:
      _write_config(run_dir, config_text)
  result = loop_lib.run(
    parts.trainable,
    parts.batches,
    run_dir,
    config=loop,
    optimizer=optimizer,
    mesh=mesh or mesh_lib.MeshConfig(),
    rules=rules,
    validation=parts.validation,
    init_from=init_from,
    watchdog=watchdog or watchdog_lib.WatchdogConfig(),
    say=say,
  )
  if parts.finish is not None and result.steps >= loop.total_steps:
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
  run_dir: str | os.PathLike[str], say: Callable[[str], None]
) -> Iterator[None]:
  """Keeps a folder to this run, once another one that is stopping has saved."""
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
          say(f'waiting for another run that is writing to {run_dir}')
        time.sleep(1)
    yield


@gin.configurable('train')
def _train(
  *,
  run_dir: str,
  init_from: str | os.PathLike[str] | None,
  say: Callable[[str], None],
  parts: parts_lib.Parts = gin.REQUIRED,
  loop: loop_lib.LoopConfig = gin.REQUIRED,
  optimizer: optimizers.OptimizerConfig = gin.REQUIRED,
  mesh: mesh_lib.MeshConfig | None = None,
  rules: rules_lib.Rules = rules_lib.STANDARD,
  watchdog: watchdog_lib.WatchdogConfig | None = None,
  low_rank: low_rank_lib.LowRankConfig | None = None,
) -> loop_lib.Result:
  return train(
    parts=parts,
    run_dir=run_dir,
    loop=loop,
    optimizer=optimizer,
    mesh=mesh,
    rules=rules,
    init_from=init_from,
    watchdog=watchdog,
    low_rank=low_rank,
    # It travels with the run, to be read and to be repeated.
    config_text=config_lib.text(),
    say=say,
  )


def bound() -> dict[str, Any]:
  """The arguments of `train` that gin binds, by name.

  Configs are checked before data is opened. For whoever trains otherwise than
  this job does with the same gin files.

  Raises:
    UserError: a value does not fit, or nothing says what to train.
  """
  bindings_lib.build_configs(_train)
  found = gin.get_bindings(_train)
  if found.get('parts') is None:
    raise errors.ConfigError(
      'train.parts is required and still open: give a run file, such as '
      '--gin_file gin/runs/media_prefix_lm.gin'
    )
  return found


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet train',
    description='Trains a tokenizer, the prefix language model or '
    'super-resolution. Bindings are changed with --gin.NAME=VALUE, for '
    'example --gin.STEPS=100 or --gin.OptimizerConfig.learning_rate=1e-3.',
  )
  add = parser.add_argument
  add(
    '--gin_file',
    action='append',
    required=True,
    help='a path, or a shipped file such as gin/runs/shapes_prefix_lm.gin; '
    'repeatable, later ones win (gin/local_tiny.gin shrinks any run)',
  )
  add(
    '--task_file',
    action='append',
    default=[],
    help='a task of your own beside those of the run; repeatable',
  )
  add('--run_dir', required=True, help='folder of the checkpoints and figures')
  add('--init_from', help="begin with another run's parameters (adaptation)")
  return parser


def from_gin(
  gin_files: Sequence[str],
  run_dir: str | os.PathLike[str],
  *,
  bindings: Sequence[str] = (),
  task_files: Sequence[str] = (),
  init_from: str | os.PathLike[str] | None = None,
  say: Callable[[str], None] = print,
) -> loop_lib.Result:
  """What the command does, for other jobs.

  Args:
    gin_files: paths or shipped files, later ones win.
    run_dir: the run's folder.
    bindings: `NAME = VALUE` each, after the files.
    task_files: tasks beside those of the run.
    init_from: see `train`.
    say: takes lines for the screen.

  Returns:
    State and figures of the last step done.

  Raises:
    UserError: a name, a value or a folder is wrong.
  """
  config_lib.parse(gin_files, bindings, task_files)
  if task_files:
    _check_takes_tasks(task_files)
    with gin.unlock_config():
      gin.bind_parameter('prefix_lm.task_files', tuple(task_files))
  folders_lib.copy({}, storage.path(run_dir))
  with _alone_in(run_dir, say):
    return config_lib.call(
      _train, run_dir=str(run_dir), init_from=init_from, say=say
    )


def _check_takes_tasks(task_files: Sequence[str]) -> None:
  """Raises ConfigError where the run trains what has no tasks."""
  try:
    trained = gin.query_parameter('train.parts')
  except ValueError:
    return  # What is missing is said later.
  name = str(getattr(trained, 'selector', '')).split('.')[-1]
  if name and name != 'prefix_lm':
    raise errors.ConfigError(
      f'--task_file {task_files[0]} cannot act: the run trains {name}, and '
      'only prefix_lm has tasks; leave it out.'
    )


def main(argv: Sequence[str]) -> int:
  """Reads the flags and trains; 128 + signal if one ended the run."""
  bindings, rest = config_lib.split_arguments(argv)
  flags = _parser().parse_args(rest)
  start.initialize(start.from_environment())
  try:
    result = from_gin(
      flags.gin_file,
      flags.run_dir,
      bindings=bindings,
      task_files=flags.task_file,
      init_from=flags.init_from,
    )
  except FloatingPointError as error:
    # Started again it would come to the same steps.
    raise errors.ConfigError(f'training stopped: {error}') from error
  return 128 + result.signal if result.signal else 0


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv[1:]))
