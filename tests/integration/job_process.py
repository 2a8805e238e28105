"""Runs a job as a user does: a process of its own."""

import os
import subprocess
import sys


def run(job: str, *flags: object) -> subprocess.CompletedProcess[str]:
  """`videopoet JOB FLAGS`; with one device, as users have it.

  The tests' fake devices would only cost time.
  """
  return subprocess.run(
    [sys.executable, '-m', f'videopoet_jax.jobs.{job}', *map(str, flags)],
    env={**os.environ, 'XLA_FLAGS': ''},
    capture_output=True,
    text=True,
    timeout=840,
    check=False,
  )
