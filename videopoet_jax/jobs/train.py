"""`videopoet train`: trains a tokenizer, the language model, super-resolution.

  videopoet train --gin_file gin/runs/shapes_visual_tokenizer.gin \
    --gin.MEDIA="'data/shapes'" --run_dir runs/visual

Started again with the same --run_dir it resumes from the newest checkpoint.
"""

import argparse
from collections.abc import Sequence
import sys

from videopoet_jax.core import config as config_lib
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.experiments import train
from videopoet_jax.parallel import start


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
  add('--run_dir', required=True, help='folder of the checkpoints and metrics')
  add('--init_from', help="begin with another run's parameters (adaptation)")
  return parser


def main(argv: Sequence[str]) -> int:
  """Reads the flags and trains; 128 + signal if one ended the run."""
  bindings, rest = config_lib.split_arguments(argv)
  flags = _parser().parse_args(rest)
  start.initialize(start.from_environment())
  try:
    result = train.train(
      lambda: train.from_gin(flags.gin_file, bindings, flags.task_file),
      flags.run_dir,
      init_from=flags.init_from,
      log=print,
    )
  except FloatingPointError as error:
    # Started again it would come to the same steps.
    raise errors.ConfigError(f'training stopped: {error}') from error
  return 128 + result.signal if result.signal else 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
