"""Start-up on several hosts, and operations across processes."""

from collections.abc import Mapping
import dataclasses
import os
from typing import Any

import jax
import numpy as np

from videopoet_jax.core import errors

# As long as one host may compile, or read a checkpoint, longer than another.
_PATIENCE_SECONDS = 3600
_VARIABLES = ('COORDINATOR_ADDRESS', 'NUM_PROCESSES', 'PROCESS_ID')


@dataclasses.dataclass(frozen=True)
class HostConfig:
  """How this process finds the others.

  Attributes:
    coordinator: `host:port` of process 0; empty for a run of one process;
      `auto` where the cluster (Cloud TPU, Slurm, Kubernetes) provides it.
    num_processes: processes of the run.
    process_id: index of this process, counted from 0.
  """

  coordinator: str = ''
  num_processes: int = 1
  process_id: int = 0


def from_environment(
  environment: Mapping[str, str] = os.environ,
) -> HostConfig:
  """Reads COORDINATOR_ADDRESS, NUM_PROCESSES and PROCESS_ID.

  Raises:
    ConfigError: some of them are set but not all, or one is not a number.
  """
  values = {name: environment.get(name, '') for name in _VARIABLES}
  if not any(values.values()):
    return HostConfig()
  if values['COORDINATOR_ADDRESS'] == 'auto':
    return HostConfig('auto')
  if not all(values.values()):
    raise _missing(values)
  try:
    return HostConfig(
      values['COORDINATOR_ADDRESS'],
      int(values['NUM_PROCESSES']),
      int(values['PROCESS_ID']),
    )
  except ValueError:
    raise _missing(values) from None


def _missing(values: Mapping[str, str]) -> errors.ConfigError:
  shown = ', '.join(f'{name}={value!r}' for name, value in values.items())
  return errors.ConfigError(
    f'a run on several hosts needs all of {shown} in the environment '
    '(host:port, a number and a number), or COORDINATOR_ADDRESS=auto'
  )


def initialize(config: HostConfig) -> None:
  """Joins the other processes; does nothing in a run of one.

  Raises:
    ConfigError: the process index is outside of the run's range.
  """
  if not config.coordinator:
    return
  if config.coordinator == 'auto':
    _dispatch_in_order()
    try:
      jax.distributed.initialize()
    except ValueError as error:
      raise errors.ConfigError(
        'COORDINATOR_ADDRESS=auto, and this is no cluster that JAX knows (TPU '
        'pod, Slurm with srun, MPI): it says '
        f'{str(error)!r}. Give host:port, NUM_PROCESSES and PROCESS_ID'
      ) from error
    return
  if not 0 <= config.process_id < config.num_processes:
    raise errors.ConfigError(
      f'process {config.process_id} of {config.num_processes}: processes are '
      'counted from 0'
    )
  _dispatch_in_order()
  jax.distributed.initialize(
    config.coordinator, config.num_processes, config.process_id
  )


def _dispatch_in_order() -> None:
  """Dispatches programs on CPUs one after the other.

  XLA on CPUs orders the programs of one thread only: one that another thread
  dispatches overtakes the step that runs, and their collectives may meet in
  another order on another process. Accelerators queue them anyway.
  """
  jax.config.update('jax_cpu_enable_async_dispatch', False)


def barrier(name: str) -> None:
  """Waits until all processes are here; does nothing in a run of one.

  It uses the coordination service and not the devices: a collective has to be
  entered in the same order on all of them, and may have a time limit (30
  seconds for some of Gloo's) that a host which compiles or reads longer than
  the others would exceed.

  Args:
    name: name of the barrier, the same on all; may be used again.
  """
  if jax.process_count() == 1:
    return
  import orbax.checkpoint as ocp

  ocp.multihost.get_barrier_sync_fn()(
    key=f'videopoet:{name}', timeout_ms=_PATIENCE_SECONDS * 1000
  )


def all_agree(flag: bool, name: str) -> bool:
  """Whether the flag is true on every process; collective.

  Args:
    flag: flag of this process.
    name: name of the question, the same on all.
  """
  if jax.process_count() == 1:
    return flag
  from jax.experimental import multihost_utils

  barrier(name)
  return bool(np.all(multihost_utils.process_allgather(np.array(flag))))


def to_host(tree: Any) -> Any:
  """Gathers arrays that may lie on all hosts as numpy arrays on each."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  from jax.experimental import multihost_utils

  return multihost_utils.process_allgather(tree, tiled=True)
