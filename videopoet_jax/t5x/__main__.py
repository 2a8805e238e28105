"""Runs a main of T5X: `python -m videopoet_jax.t5x train --gin_file ...`.

  train    T5X's trainer
  eval     T5X's evaluation by SeqIO's Evaluator
  infer    T5X's inference over a SeqIO task
  export   T5X's SavedModel (needs tensorflow-serving-api)
  convert  FROM TO: a run of `videopoet train` becomes one of T5X, or the other
           way round; needs no T5X

Flags of the others are T5X's. Run files of this project (gin/runs/...) are read
first, whatever their position among the flags; then T5X reads those with `from
__gin__ import dynamic_registration`: gin/t5x/<main>.gin unless one is given.
"""

from collections.abc import Sequence
import logging
import os
import runpy
import sys

from videopoet_jax.core import errors

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

_MAINS = ('train', 'eval', 'infer', 'export')
_CONVERT = 'convert'
_MARK = 'from __gin__ import dynamic_registration'


def split_files(argv: Sequence[str]) -> tuple[list[str], list[str]]:
  """Takes the `--gin_file` flags out of a command line.

  Args:
    argv: flags for T5X.

  Returns:
    The files in their order, and the other flags.

  Raises:
    ConfigError: a flag has no value.
  """
  files, rest = [], []
  given = iter(argv)
  for flag in given:
    name, equals, value = flag.partition('=')
    if name.lstrip('-') != 'gin_file':
      rest.append(flag)
      continue
    value = value if equals else next(given, '')
    if not value:
      raise errors.ConfigError('--gin_file needs the path of a file.')
    files.append(value)
  return files, rest


def main(argv: Sequence[str]) -> int:
  """Reads this project's files and passes the rest to T5X."""
  if not argv or argv[0] in ('-h', '--help'):
    print(__doc__)
    return 0 if argv else 2
  name = argv[0]
  if name == _CONVERT:
    return _convert(argv[1:])
  if name not in _MAINS:
    hint = errors.near_names(name, (*_MAINS, _CONVERT))
    raise errors.ConfigError(f'T5X has no main {name!r}{hint}.')
  files, rest = split_files(argv[1:])

  from videopoet_jax.t5x import shims

  shims.install()

  from videopoet_jax.core import config
  from videopoet_jax.core import paths
  from videopoet_jax.experiments import train as train_lib
  from videopoet_jax.parallel import start
  from videopoet_jax.t5x import experiment

  start.initialize(start.from_environment())
  found = [paths.resolve(file) for file in files]
  theirs = [file for file in found if _MARK in file.read_text()]
  ours = [str(file) for file in found if file not in theirs]
  config.parse(ours, finalize=False)
  theirs = theirs or [paths.resolve(f'gin/t5x/{name}.gin')]
  del train_lib  # Imported to register its configurables with gin.
  experiment.give(
    flag.removeprefix('--gin.') for flag in rest if flag.startswith('--gin.')
  )
  logging.getLogger('absl').setLevel(logging.INFO)
  sys.argv = [
    f't5x.{name}',
    *(f'--gin_file={file}' for file in theirs),
    *rest,
  ]
  runpy.run_module(f't5x.{name}', run_name='__main__', alter_sys=True)
  return 0


def _convert(argv: Sequence[str]) -> int:
  """Converts a run's folder."""
  from videopoet_jax.checkpoints import t5x_convert

  if len(argv) != 2:
    raise errors.ConfigError(
      'convert takes two folders: the run, and the one to write: '
      'python -m videopoet_jax.t5x convert runs/lm runs/lm_t5x'
    )
  step = t5x_convert.convert(argv[0], argv[1])
  print(f'{argv[1]}: step {step} of {argv[0]}')
  return 0


if __name__ == '__main__':
  from videopoet_jax.core import entry

  sys.exit(entry.run(main, sys.argv[1:]))
