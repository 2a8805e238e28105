"""`videopoet demo`: from nothing to generated video and sound, scored.

The whole chain on shapes in motion: data, both tokenizers, tokens, the
language model on every task, samples from held-out conditions, the oracle's
scoreboard (`metrics.json`) and a report (`report.html`). Run again, it goes on
where it stopped and reuses what is there. The folder is a checkpoint for
`videopoet generate`.
"""

import argparse
from collections.abc import Sequence
import importlib.metadata
import json
import logging
import os
import pathlib
import platform
import sys
import time
from typing import Any

# Read when TensorFlow is first imported: its notices are not the user's.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from videopoet_jax import __version__
from videopoet_jax.core import errors
from videopoet_jax.evaluation import scoreboard
from videopoet_jax.jobs import chain
from videopoet_jax.jobs import demo_profile
from videopoet_jax.jobs import demo_report
from videopoet_jax.jobs import demo_stages

REPORT = 'report.html'
OVERVIEW = 'samples.gif'
_LIBRARIES = (
  'jax',
  'flax',
  'optax',
  'orbax-checkpoint',
  'tensorflow',
  'tensorflow-datasets',
  'seqio',
  'numpy',
)


def demo(
  *,
  profile: str = 'demo',
  out: str | os.PathLike[str] = 'demo',
  seed: int = 0,
  stage: str | None = None,
) -> dict[str, Any]:
  """Runs the chain.

  Args:
    profile: `demo`, `demo_full`, `smoke`, or the path of a gin file.
    out: folder of all results.
    seed: of data order, parameters and samples.
    stage: a stage to run again though it is done; later ones wait.

  Returns:
    The scoreboard as in `metrics.json`; empty if `stage` came before it.

  Raises:
    UserError: a file, a folder or a setting is wrong.
  """
  # Notices of libraries would bury the progress; errors still show.
  logging.getLogger('absl').addFilter(lambda r: r.levelno >= logging.ERROR)
  run = demo_stages.Demo(
    profile=demo_profile.load(profile), folder=pathlib.Path(out), seed=seed
  )
  stages = run.stages()
  done = chain.Chain(stages, run.folder).run(stage)
  if len(done) < len(stages):
    print(f'stage {stage} done; run without --stage for those after it')
    return {}
  started = time.monotonic()
  metrics = json.loads(run.path(demo_stages.METRICS).read_text())
  report = demo_report.Report(run)
  seconds = sum(d.seconds for d in done) + time.monotonic() - started
  metrics |= {
    'wall_seconds': round(seconds, 1),
    'profile': pathlib.Path(profile).stem,
    'seed': seed,
    'stages': [
      {
        'name': d.name,
        'seconds': d.seconds,
        'planned': d.planned,
        'reused': d.reused,
      }
      for d in done
    ],
    'versions': versions(),
  }
  scoreboard.write(metrics, run.path(demo_stages.METRICS))
  report.write(run.path(REPORT), metrics)
  report.write_overview(run.path(OVERVIEW))
  print(scoreboard.table(metrics))
  print(
    f'{chain.duration(seconds)} in all; {run.path(REPORT)} shows it, '
    f'{run.path(demo_stages.METRICS)} holds the figures'
  )
  return metrics


def versions() -> dict[str, str]:
  """What the run ran on."""
  found = {
    'videopoet_jax': __version__,
    'python': platform.python_version(),
    'machine': f'{platform.machine()}, {os.cpu_count()} cores',
  }
  for name in _LIBRARIES:
    found[name] = importlib.metadata.version(name)
  return found


def main(argv: Sequence[str] | None = None) -> int:
  """Entry point of `videopoet demo`."""
  parser = argparse.ArgumentParser(
    prog='videopoet demo', description=(__doc__ or '').partition('\n\n')[2]
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
  if flags.seed < 0:
    raise errors.ConfigError(
      f'--seed is {flags.seed}; it must not be negative.'
    )
  demo(profile=flags.profile, out=flags.out, seed=flags.seed, stage=flags.stage)
  return 0


if __name__ == '__main__':
  from videopoet_jax.jobs import cli

  sys.exit(cli.run(main, sys.argv[1:]))
