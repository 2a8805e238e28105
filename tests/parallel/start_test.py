"""One process waits for no other, and ends on SIGTERM."""

import signal

import jax.numpy as jnp
import numpy as np
import pytest

from tests.training import processes
from videopoet_jax.core import termination
from videopoet_jax.parallel import start

# Joins a run of several hosts (of one process), as jobs do.
_JOB = """
import sys, time
from videopoet_jax.core import termination
from videopoet_jax.parallel import start
start.initialize(start.from_environment())
if sys.argv[1] == 'ends':
  termination.end_by_sigterm()
print('ready', flush=True)
time.sleep(60 if sys.argv[1] == 'ends' else 3)
"""


def test_a_run_of_one_waits_for_nobody():
  start.barrier('nobody')
  assert start.all_agree(True, 'question')
  assert not start.all_agree(False, 'question')
  found = start.to_host({'a': jnp.arange(3)})
  assert isinstance(found['a'], np.ndarray)


@pytest.mark.parametrize(
  ('mode', 'status'), [('ends', termination.STATUS), ('lives', 0)]
)
def test_sigterm_ends_a_job_on_several_hosts_that_asks_for_it(
  tmp_path, monkeypatch, mode, status
):
  for name, value in (processes.hosts(1) | {'PROCESS_ID': '0'}).items():
    monkeypatch.setenv(name, value)
  (tmp_path / 'sigterm_job.py').write_text(_JOB)
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  process = processes.start(['sigterm_job', mode])
  processes.read_until(process, 'ready')
  process.send_signal(signal.SIGTERM)
  processes.finish(process, status)
