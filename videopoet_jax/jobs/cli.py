"""The console command: `videopoet <job> ...`.

Only the job asked for is imported: help is quick, and `generate` never meets
TensorFlow. A job's file ends with

  if __name__ == '__main__':
    sys.exit(cli.run(main, sys.argv[1:]))

so that `python -m videopoet_jax.jobs.<job>` does the same.
"""

from collections.abc import Callable, Sequence
import importlib
import os
import re
import sys

from videopoet_jax import __version__
from videopoet_jax.core import errors
from videopoet_jax.core import termination

# Job name -> (module below videopoet_jax.jobs, one line of help). The module of
# `tokenize` has another name: a file tokenize.py run as a script would shadow
# the standard library's.
JOBS = {
  'layouts': ('layouts', 'print the sequence layout of every task'),
  'train': ('train', 'train a tokenizer, the language model, super-resolution'),
  'shapes': ('shapes', 'draw shapes in motion as a data set of clips'),
  'prepare': ('prepare', 'turn video files into a data set of clips'),
  'tokenize': ('tokenize_media', 'encode a data set of clips into tokens'),
  'embed_text': ('embed_text', 'store text embeddings beside a data set'),
  'generate': ('generate', 'generate video and sound from a checkpoint'),
  'score_upscaling': (
    'score_upscaling',
    'score super-resolution against bicubic and the truth',
  ),
  'evaluate': ('evaluate', 'measure checkpoints by a frozen protocol'),
  'plan': ('plan', 'compile a train step for TPU pods, without a TPU'),
  'bench': ('bench', 'measure training, decoding, tokenizers and data'),
  'demo': ('demo', 'run the whole chain on shapes in motion'),
}

# gin writes under which call an error arose; the user did not make that call.
_GIN_TRACE = re.compile(r'\n\s+In call to configurable .*')

# Its large eigenvalue problems are worth several threads.
_MANY_BLAS_THREADS = ('evaluate',)

_USER_ERROR_STATUS = 2
_INTERRUPT_STATUS = 130  # 128 + SIGINT, as shells report it.


def usage() -> str:
  """The text of `videopoet --help`."""
  width = max(map(len, JOBS))
  jobs = '\n'.join(
    f'  {name:<{width}}  {line}' for name, (_, line) in JOBS.items()
  )
  return (
    'usage: videopoet JOB [flags]\n\n'
    f'jobs:\n{jobs}\n\n'
    '`videopoet JOB --help` lists the flags of a job;\n'
    '`videopoet --version` prints the version.'
  )


def run(
  main: Callable[[Sequence[str]], int | None], argv: Sequence[str]
) -> int:
  """Runs a job's `main` and turns the user's mistakes into one line.

  Args:
    main: takes the arguments behind the job's name, returns an exit status.
    argv: those arguments.

  Returns:
    The exit status: 2 for a `UserError`, 130 for an interrupt, else what the
    job returned, 0 for None. Any other exception is a bug and passes through.
  """
  if os.getpid() == 1:
    # The first process of a container has no default action: a signal that
    # comes before the job listens would be lost, or be so for good.
    termination.end_by_sigterm()
  try:
    return main(list(argv)) or 0
  except errors.UserError as error:
    message = ' '.join(_GIN_TRACE.sub('', str(error)).split())
    print(f'{type(error).__name__}: {message}', file=sys.stderr)
    return _USER_ERROR_STATUS
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return _INTERRUPT_STATUS
  except BrokenPipeError:
    # Whoever read our output has gone (`videopoet layouts | head`). Python
    # flushes standard output once more at exit; give it somewhere to go.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
  """Runs `videopoet` with the given arguments, `sys.argv` unless given."""
  argv = list(sys.argv[1:] if argv is None else argv)
  if not argv or argv[0] in ('-h', '--help', 'help'):
    print(usage())
    return 0 if argv else _USER_ERROR_STATUS
  if argv[0] == '--version':
    print(f'videopoet_jax {__version__}')
    return 0
  name, rest = argv[0], argv[1:]
  if name not in JOBS:
    hint = errors.near_names(name, JOBS)
    print(f'videopoet has no job {name!r}{hint}', file=sys.stderr)
    return _USER_ERROR_STATUS
  if name not in _MANY_BLAS_THREADS:
    # Read when NumPy is first imported. Loaders multiply small matrices all the
    # time (bicubic resizing); threads of OpenBLAS's own wait for them by
    # spinning, on the cores that XLA computes on.
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
  module = importlib.import_module(f'videopoet_jax.jobs.{JOBS[name][0]}')
  return run(module.main, rest)


if __name__ == '__main__':
  sys.exit(main())
