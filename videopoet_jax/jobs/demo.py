"""`videopoet demo`: from nothing to generated video and sound, scored.

  videopoet demo --out demo

Run again, it resumes where it stopped and reuses what is there. The folder is
a checkpoint for `videopoet generate`; `report.html` in it shows all results.
"""

import argparse
from collections.abc import Sequence
import pathlib
import sys

from videopoet_jax.core import entry
from videopoet_jax.core import progress
from videopoet_jax.demo import demo
from videopoet_jax.demo import screen
from videopoet_jax.demo import stages
from videopoet_jax.shapes import scoreboard


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the demo and prints its scoreboard."""
  parser = argparse.ArgumentParser(
    prog='videopoet demo',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--profile',
    default='demo',
    help='demo (16 minutes on two cores), demo_full (see its file), smoke (a '
    'minute, learns nothing), or a gin file of your own',
  )
  parser.add_argument('--out', default='demo', help='folder of all results')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument(
    '--stage', help='run this stage again though it is done, and none after it'
  )
  flags = parser.parse_args(argv)
  metrics = demo.demo(
    flags.out,
    profile=flags.profile,
    seed=flags.seed,
    stage=flags.stage,
    screen=screen.standard(),
  )
  if metrics:
    out = pathlib.Path(flags.out)
    print(scoreboard.table(metrics))
    print(
      f'{progress.duration(metrics["wall_seconds"])} in all; '
      f'{out / demo.REPORT} shows it, {out / stages.METRICS} holds the metrics'
    )
  return 0


if __name__ == '__main__':
  sys.exit(entry.run(main, sys.argv[1:]))
