"""A process that receives a signal saves first, whatever it is doing."""

import re
import signal

import pytest

from tests.preparation import token_set
from tests.training import processes
from videopoet_jax.checkpoints import manager

_ENDED = 128 + signal.SIGTERM


def _end(process, run_dir):
  """Sends SIGTERM; what was printed, and the step that was saved."""
  process.send_signal(signal.SIGTERM)
  printed = processes.finish(process, status=_ENDED)
  assert 'signal 15: the run ends when this step is saved' in printed
  saved = re.search(r'saved step (\d+), stopping', printed.splitlines()[-1])
  assert saved, printed
  assert manager.complete_steps(run_dir)[-1] == int(saved[1])
  return printed, int(saved[1])


def test_a_signal_while_the_first_step_is_prepared(tmp_path):
  # Seconds for each batch: the run compiles and waits for the first.
  process = processes.tiny(tmp_path, total_steps=1000, pause=3.0)
  processes.read_until(process, 'to compile')
  _, step = _end(process, tmp_path)
  assert step <= 2


def test_a_signal_to_the_command(tmp_path):
  """A real `videopoet train`, with TensorFlow and its threads."""
  tokens = token_set.write(tmp_path / 'tokens')
  run_dir = tmp_path / 'run'
  flags = token_set.train_flags(tokens, steps=100_000, save_every=50_000)
  command = ['videopoet_jax.jobs.train', *flags, '--run_dir', str(run_dir)]
  process = processes.start(command)
  processes.read_until(process, r'step \d+/')
  _, step = _end(process, run_dir)
  assert step == max(processes.losses(run_dir))


@pytest.mark.kill
@pytest.mark.parametrize('what', ['validation', 'begin'])
def test_a_signal_at_other_moments_of_the_command(tmp_path, what):
  tokens = token_set.write(tmp_path / 'tokens')
  run_dir = tmp_path / 'run'
  flags = token_set.train_flags(
    tokens, steps=100_000, save_every=50_000, validate_every=1
  )
  command = ['videopoet_jax.jobs.train', *flags, '--run_dir', str(run_dir)]
  process = processes.start(command)
  # Validation follows a line of metrics; the first one compiles for seconds.
  pattern = {'validation': r'step 1/', 'begin': 'to compile'}[what]
  processes.read_until(process, pattern)
  _end(process, run_dir)
