"""Several processes of one machine as one run."""

import os
import pathlib
import subprocess

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SCRIPT = str(_ROOT / 'launch/local_processes.sh')


def _start(count, *command, **environment):
  return subprocess.Popen(
    [_SCRIPT, str(count), *command],
    cwd=_ROOT,
    env={**os.environ, **environment},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _run(count, *command, **environment):
  process = _start(count, *command, **environment)
  printed, _ = process.communicate(timeout=300)
  return process.returncode, printed


def test_every_process_knows_its_number_and_its_lines():
  status, printed = _run(3, 'bash', '-c', 'echo "$PROCESS_ID/$NUM_PROCESSES"')
  assert status == 0
  assert sorted(printed.split('\n')[:-1]) == [f'[{i}] {i}/3' for i in range(3)]


def test_one_failure_stops_the_others_and_is_the_status():
  # Not stopped, the other would outlast the patience of `_run`.
  status, _ = _run(
    2, 'bash', '-c', '[ "$PROCESS_ID" = 0 ] && exit 7; exec sleep 900'
  )
  assert status == 7


def test_wrong_use_is_said():
  process = subprocess.run([_SCRIPT, 'two'], capture_output=True, text=True)
  assert process.returncode == 2
  assert 'usage' in process.stderr
