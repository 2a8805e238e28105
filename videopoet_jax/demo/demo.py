"""The demo: from nothing to generated video and sound, scored.

The whole chain on shapes in motion: data, both tokenizers, tokens, the
language model on every task, samples from held-out conditions, the oracle's
scoreboard (`metrics.json`) and a report (`report.html`). Run again, it resumes
where it stopped and reuses what is there. The folder is a checkpoint for
`videopoet generate`.
"""

import importlib.metadata
import json
import logging
import os
import pathlib
import platform
import time
from typing import Any

from videopoet_jax import __version__
from videopoet_jax.core import errors
from videopoet_jax.demo import chain
from videopoet_jax.demo import profile as profile_lib
from videopoet_jax.demo import report as report_lib
from videopoet_jax.demo import screen as screen_lib
from videopoet_jax.demo import stages as stages_lib
from videopoet_jax.shapes import scoreboard

REPORT = 'report.html'
OVERVIEW = 'samples.gif'
_LIBRARIES = (
  'jax', 'flax', 'optax', 'orbax-checkpoint', 'tensorflow',
  'tensorflow-datasets', 'seqio', 'numpy',
)  # fmt: skip


def demo(
  out: str | os.PathLike[str] = 'demo',
  *,
  profile: str = 'demo',
  seed: int = 0,
  stage: str | None = None,
  screen: screen_lib.Screen | None = None,
) -> dict[str, Any]:
  """Runs the chain.

  Args:
    out: folder of all results.
    profile: `demo`, `demo_full`, `smoke`, or the path of a gin file.
    seed: seed of data order, parameters and samples.
    stage: a stage to run again though it is done, and none after it.
    screen: shows how far it is; nothing is shown without.

  Returns:
    The scoreboard as in `metrics.json`; empty if `stage` is not the last.

  Raises:
    UserError: a file, a folder or a setting is wrong.
  """
  if seed < 0:
    raise errors.ConfigError(f'--seed is {seed}; it must not be negative.')
  # Notices of libraries would bury the progress; errors still show.
  logging.getLogger('absl').addFilter(lambda r: r.levelno >= logging.ERROR)
  screen = screen or screen_lib.Screen()
  run = stages_lib.Demo(
    profile_lib.load(profile), pathlib.Path(out), seed, screen.note
  )
  stages = run.stages()
  done = chain.Chain(stages, run.folder, screen).run(stage)
  if len(done) < len(stages):
    screen.line(f'stage {stage} done; run without --stage for those after it')
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
