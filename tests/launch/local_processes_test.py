"""Several processes of one machine as one run."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.jobs import token_set
from videopoet_jax.training import metrics

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
    start_new_session=True,
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
  began = time.monotonic()
  status, _ = _run(
    2, 'bash', '-c', '[ "$PROCESS_ID" = 0 ] && exit 7; exec sleep 60'
  )
  assert status == 7
  assert time.monotonic() - began < 30


def test_wrong_use_is_said():
  process = subprocess.run([_SCRIPT, 'two'], capture_output=True, text=True)
  assert process.returncode == 2
  assert 'usage' in process.stderr


@pytest.fixture(scope='module', name='flags')
def _flags(tmp_path_factory):
  tokens = token_set.write(tmp_path_factory.mktemp('data') / 'tokens')
  bindings = {
    'TOKENS': tokens,
    'VISUAL': '',
    'AUDIO': '',
    'load_tasks.tasks': ['unconditional', 'video_to_audio'],
    'prefix_lm.tokens_per_batch': 256,
    'LoopConfig.tensorboard': False,
    'LoopConfig.log_every': 1,
    'LoopConfig.validate_every': 4,
    'LoopConfig.save_every': 2,
  }
  files = ('gin/runs/shapes_prefix_lm.gin', 'gin/local_tiny.gin')
  return [
    *(flag for file in files for flag in ('--gin_file', file)),
    *(f'--gin.{name}={value!r}' for name, value in bindings.items()),
  ]


def _train(count, flags, run_dir, steps):
  """Starts a run on two devices, of one process or one each."""
  return _start(
    count,
    # Says its number, and goes on as the command.
    *('bash', '-c', 'echo "pid $$"; exec "$@"', '-'),
    *(sys.executable, '-m', 'videopoet_jax.jobs.train', *flags),
    *(f'--gin.STEPS={steps}', '--run_dir', str(run_dir)),
    XLA_FLAGS=f'--xla_force_host_platform_device_count={2 // count}',
    PYTHONPATH=str(_ROOT),
  )


def _read_until(process, pattern):
  printed = ''
  for line in process.stdout:
    printed += line
    if re.search(pattern, line):
      return printed
  raise AssertionError(printed)


def _losses(run_dir):
  records = metrics.read(run_dir / 'metrics.jsonl')
  return {r['step']: r['loss'] for r in records if 'loss' in r}


def test_two_processes_train_as_one_and_go_on_after_a_kill(flags, tmp_path):
  alone, joined = tmp_path / 'alone', tmp_path / 'joined'
  process = _train(1, flags, alone, 6)
  printed, _ = process.communicate(timeout=300)
  assert process.returncode == 0, printed

  process = _train(2, flags, joined, 6)
  _read_until(process, 'step 4/6')
  os.killpg(process.pid, signal.SIGKILL)
  process.communicate(timeout=120)

  process = _train(2, flags, joined, 6)
  printed, _ = process.communicate(timeout=300)
  assert process.returncode == 0, printed
  assert re.search(r'\[0\] resuming .* after step [234]', printed), printed
  assert '[1] resuming' not in printed
  one, two = _losses(alone), _losses(joined)
  assert set(two) >= {5, 6}
  for step, loss in two.items():
    assert loss == pytest.approx(one[step], rel=1e-4)


def test_a_signal_to_one_process_saves_and_stops_all(flags, tmp_path):
  process = _train(2, flags, tmp_path / 'run', 100000)
  printed = _read_until(process, r'step [2-9]/')
  last = re.search(r'\[1\] pid (\d+)', printed)
  os.kill(int(last[1]), signal.SIGTERM)
  printed, _ = process.communicate(timeout=300)
  assert re.search(r'saved step \d+, stopping', printed), printed
