"""The chain of the demo: its stages, scoreboard and report."""

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

from videopoet_jax import __version__
from videopoet_jax.core import errors
from videopoet_jax.demo import chain
from videopoet_jax.demo import profile as profile_lib
from videopoet_jax.demo import report as report_lib
from videopoet_jax.demo import stages as stages_lib
from videopoet_jax.shapes import scoreboard

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
  run = stages_lib.Demo(
    profile=profile_lib.load(profile), folder=pathlib.Path(out), seed=seed
  )
  stages = run.stages()
  done = chain.Chain(stages, run.folder).run(stage)
  if len(done) < len(stages):
    print(f'stage {stage} done; run without --stage for those after it')
    return {}
  started = time.monotonic()
  metrics = json.loads(run.path(stages_lib.METRICS).read_text())
  report = report_lib.Report(run)
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
  scoreboard.write(metrics, run.path(stages_lib.METRICS))
  report.write(run.path(REPORT), metrics)
  report.write_overview(run.path(OVERVIEW))
  print(scoreboard.table(metrics))
  print(
    f'{chain.duration(seconds)} in all; {run.path(REPORT)} shows it, '
    f'{run.path(stages_lib.METRICS)} holds the figures'
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
