"""How a process learns of the others, from what the launchers set."""

import os
import subprocess
import sys

import pytest

from videopoet_jax.parallel import start


def test_auto_is_left_to_the_cluster():
  config = start.from_environment({'COORDINATOR_ADDRESS': 'auto'})
  assert config == start.HostConfig('auto')


_REFUSED = """
from videopoet_jax.core import errors
from videopoet_jax.parallel import start
try:
  start.initialize(start.HostConfig('auto'))
except errors.ConfigError as error:
  print(error)
"""


def test_auto_outside_a_cluster_is_a_clear_error():
  # A process of its own: JAX joins others before its first array only.
  ours = ('SLURM_', 'TPU_', 'OMPI_', 'KUBERNETES_')
  done = subprocess.run(
    [sys.executable, '-c', _REFUSED],
    env={k: v for k, v in os.environ.items() if not k.startswith(ours)},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert 'no cluster that JAX knows' in done.stdout, done.stderr[-2000:]


_SAYS = """
import os
import jax
from videopoet_jax.parallel import start
start.initialize(start.from_environment())
state = jax._src.distributed.global_state
print(state.process_id, state.num_processes, state.coordinator_address,
      jax.config.values.get('jax_cuda_visible_devices'))
"""


@pytest.mark.parametrize(
  'more, devices', [({}, '0'), ({'JAX_LOCAL_DEVICE_IDS': '0,1,2,3'}, '0,1,2,3')]
)
def test_under_slurm_a_process_takes_its_gpu_or_those_named(more, devices):
  # One task: nobody else has to be there for the start to succeed.
  slurm = {
    'SLURM_JOB_ID': '77',
    'SLURM_STEP_NODELIST': 'localhost',
    'SLURM_STEP_NUM_NODES': '1',
    'SLURM_NTASKS': '1',
    'SLURM_PROCID': '0',
    'SLURM_LOCALID': '0',
    'COORDINATOR_ADDRESS': 'auto',
    'JAX_PLATFORMS': 'cpu',
  }
  done = subprocess.run(
    [sys.executable, '-c', _SAYS],
    env={**os.environ, **slurm, **more},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  process, count, address, visible = done.stdout.split()
  assert (process, count) == ('0', '1')
  assert address.startswith('localhost:')
  assert visible == devices
