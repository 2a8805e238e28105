"""Runs of the tiny trainable in processes of their own."""

from collections.abc import Mapping
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from videopoet_jax.checkpoints import manager
from videopoet_jax.training import metrics

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAUNCH = str(ROOT / 'launch/local_processes.sh')
_PATIENCE = 600.0  # Seconds; a busy machine may take minutes to begin.


def environment(devices: int = 1) -> dict[str, str]:
  """Of a child: so many devices, and no threads that change the order."""
  flags = f'--xla_force_host_platform_device_count={devices}'
  return {
    **os.environ,
    'XLA_FLAGS': flags,
    'PYTHONPATH': f'{ROOT}{os.pathsep}{os.environ.get("PYTHONPATH", "")}',
    'PYTHONUNBUFFERED': '1',
  }


def hosts(count: int) -> dict[str, str]:
  """Variables by which so many processes find each other; not `PROCESS_ID`."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  return {
    'COORDINATOR_ADDRESS': f'127.0.0.1:{port}',
    'NUM_PROCESSES': str(count),
  }


def start(
  command: list[str], *, processes: int = 0, devices: int = 1
) -> subprocess.Popen:
  """Starts a Python module as one process, or several that are one run.

  Args:
    command: module and arguments.
    processes: of `launch/local_processes.sh`; 0 starts one without it.
    devices: of each process.
  """
  whole = [sys.executable, '-m', *command]
  if processes:
    whole = [LAUNCH, str(processes), *whole]
  return subprocess.Popen(
    whole,
    cwd=ROOT,
    env=environment(devices),
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    start_new_session=True,
  )


def tiny(
  run_dir: pathlib.Path, processes: int = 0, devices: int = 1, **options: Any
) -> subprocess.Popen:
  """Starts `tiny_run`."""
  command = ['tests.training.tiny_run', str(run_dir), json.dumps(options)]
  return start(command, processes=processes, devices=devices)


def finish(process: subprocess.Popen, status: int = 0) -> str:
  """What the process prints until it ends with that status."""
  printed, _ = process.communicate(timeout=_PATIENCE)
  assert process.returncode == status, (process.returncode, printed)
  return printed


def read_until(process: subprocess.Popen, pattern: str) -> str:
  """What the process prints up to a line that has the pattern."""
  printed = ''
  assert process.stdout is not None
  for line in process.stdout:
    printed += line
    if re.search(pattern, line):
      return printed
  raise AssertionError(printed)


def kill(process: subprocess.Popen) -> None:
  """SIGKILL to it and all it started; takes what it had printed."""
  os.killpg(process.pid, signal.SIGKILL)
  process.communicate(timeout=_PATIENCE)


def kill_during_save(process: subprocess.Popen, run_dir: pathlib.Path) -> bool:
  """Kills while the next step is being written.

  Returns:
    Whether one was: the folder of the unfinished step is there.
  """
  while process.poll() is None:
    if manager.unfinished_steps(run_dir):
      # Stopped, it finishes nothing between the second look and the kill.
      os.killpg(process.pid, signal.SIGSTOP)
      time.sleep(0.02)
      if manager.unfinished_steps(run_dir):
        break
      os.killpg(process.pid, signal.SIGCONT)
  kill(process)
  return bool(manager.unfinished_steps(run_dir))


def kill_later(process: subprocess.Popen, seconds: float) -> None:
  """Kills after so many seconds, whatever it does then."""
  time.sleep(seconds)
  kill(process)


def losses(run_dir: pathlib.Path) -> dict[int, float]:
  """The loss of each step that is logged."""
  records = metrics.read(run_dir / metrics.FILE_NAME)
  return {r['step']: r['loss'] for r in records if 'loss' in r}


def assert_begins_like(
  found: Mapping[int, float], whole: Mapping[int, float]
) -> None:
  """Every loss is that of the uninterrupted run, to the last bit."""
  for step, loss in found.items():
    assert loss == whole[step], (step, loss, whole[step])
