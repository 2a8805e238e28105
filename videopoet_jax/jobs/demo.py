"""`videopoet demo`: from nothing to generated video and sound, scored.

The whole chain on shapes in motion: data, both tokenizers, tokens, the
language model on every task, samples from held-out conditions, the oracle's
scoreboard (`metrics.json`) and a report (`report.html`). Run again, it goes on
where it stopped and reuses what is there. The folder is a checkpoint for
`videopoet generate`.
"""

import argparse
from collections.abc import Sequence
import sys

from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.demo import demo


def main(argv: Sequence[str] | None = None) -> int:
  """Entry point of `videopoet demo`."""
  parser = argparse.ArgumentParser(
    prog='videopoet demo', description=(__doc__ or '').partition('\n\n')[2]
  )
  parser.add_argument(
    '--profile',
    default='demo',
    help='demo (25 minutes on two cores), demo_full (see its file), smoke (a '
    'minute, learns nothing), or a gin file of your own',
  )
  parser.add_argument('--out', default='demo', help='folder of all results')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument(
    '--stage', help='run this stage again though it is done, and none after it'
  )
  flags = parser.parse_args(argv)
  if flags.seed < 0:
    raise errors.ConfigError(
      f'--seed is {flags.seed}; it must not be negative.'
    )
  demo.demo(
    profile=flags.profile, out=flags.out, seed=flags.seed, stage=flags.stage
  )
  return 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
