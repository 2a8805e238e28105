"""The console command: `videopoet <job> ...`.

Only the job asked for is imported: help is quick, and `generate` never meets
TensorFlow. A job's file ends with

  if __name__ == '__main__':
    sys.exit(entry.run(main, sys.argv[1:]))

so that `python -m videopoet_jax.jobs.<job>` does the same.
"""

from collections.abc import Sequence
import importlib
import os
import sys

from videopoet_jax import __version__
from videopoet_jax.core import entry
from videopoet_jax.core import errors

# Job name -> (module below videopoet_jax.jobs, one line of help). The module of
# `tokenize` has another name: a file tokenize.py run as a script would shadow
# the standard library's; `import` is no name of a module.
JOBS = {
  'layouts': ('layouts', 'print the sequence layout of every task'),
  'train': ('train', 'train a tokenizer, the language model, super-resolution'),
  'shapes': ('shapes', 'draw shapes in motion as a data set of clips'),
  'prepare': ('prepare', 'turn video files into a data set of clips'),
  'import': ('import_tokenizer', 'make a tokenizer of a published checkpoint'),
  'export': ('export_tokenizer', 'write a tokenizer as safetensors and JSON'),
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

# Its large eigenvalue problems are worth several threads.
_MANY_BLAS_THREADS = ('evaluate',)


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


def main(argv: Sequence[str] | None = None) -> int:
  """Runs `videopoet` with the given arguments, `sys.argv` unless given."""
  argv = list(sys.argv[1:] if argv is None else argv)
  if not argv or argv[0] in ('-h', '--help', 'help'):
    print(usage())
    return 0 if argv else entry.USER_ERROR_STATUS
  if argv[0] == '--version':
    print(f'videopoet_jax {__version__}')
    return 0
  name, rest = argv[0], argv[1:]
  if name not in JOBS:
    hint = errors.near_names(name, JOBS)
    print(f'videopoet has no job {name!r}{hint}', file=sys.stderr)
    return entry.USER_ERROR_STATUS
  if name not in _MANY_BLAS_THREADS:
    # Read when NumPy is first imported. Loaders multiply small matrices all the
    # time (bicubic resizing); threads of OpenBLAS's own wait for them by
    # spinning, on the cores that XLA computes on.
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
  module = importlib.import_module(f'videopoet_jax.jobs.{JOBS[name][0]}')
  return entry.run(module.main, rest)


if __name__ == '__main__':
  sys.exit(main())
