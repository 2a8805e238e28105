"""Which host is slow: every host's own work, gathered at lines of figures.

In a synchronous run every host takes the same time for a step, since all wait
for the slowest. What differs is what a host does by itself: waiting for its
data, copying them to its devices, and how fast its own devices are when they
need not wait for others. These three numbers are gathered.
"""

from collections.abc import Callable, Sequence
import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_PROBE_SIZE = 256


@dataclasses.dataclass(frozen=True)
class Work:
  """What one host did over the steps of a line of figures.

  Attributes:
    data_seconds: waiting for its batches, a step.
    place_seconds: copying them to its devices, a step.
    probe_seconds: of a small fixed product, on the slowest of its devices.
  """

  data_seconds: float
  place_seconds: float
  probe_seconds: float


class Probe:
  """Times one small matrix product on each device of this host, alone."""

  def __init__(self, devices: Sequence[jax.Device]) -> None:
    """Compiles it.

    Args:
      devices: of this host.
    """
    self._product = jax.jit(jnp.matmul)
    # A mesh of one device each: the run's own names devices of other hosts.
    self._meshes = [
      jax.sharding.Mesh(np.array([device]), ('probe',)) for device in devices
    ]
    ones = np.ones((_PROBE_SIZE, _PROBE_SIZE), np.float32)
    self._inputs = [jax.device_put(ones, device) for device in devices]
    self()

  def __call__(self) -> float:
    """Seconds on the slowest device; the best of three."""
    slowest = 0.0
    for mesh, x in zip(self._meshes, self._inputs):
      with jax.set_mesh(mesh):
        slowest = max(slowest, min(self._once(x) for _ in range(3)))
    return slowest

  def _once(self, x: jax.Array) -> float:
    began = time.perf_counter()
    jax.block_until_ready(self._product(x, x))
    return time.perf_counter() - began


class Hosts:
  """Gathers every host's work and names the slowest."""

  def __init__(
    self,
    devices: Sequence[jax.Device],
    gather: Callable[[np.ndarray], np.ndarray] | None = None,
  ) -> None:
    """Prepares the probe where there are several hosts.

    Args:
      devices: of this host.
      gather: (3,) of this host -> (hosts, 3); by JAX unless a test gives its
        own.
    """
    self.several = gather is not None or jax.process_count() > 1
    self._gather = gather or _allgather
    self._probe = Probe(devices) if self.several else None
    self._steps = 0
    self._data = self._place = 0.0
    self._totals: np.ndarray | None = None
    self._lines = 0

  def add(self, data_seconds: float, place_seconds: float) -> None:
    """Takes one step of this host."""
    self._steps += 1
    self._data += data_seconds
    self._place += place_seconds

  def metrics(self) -> dict[str, float]:
    """Gathers; all hosts call it at the same step.

    Returns:
      Nothing with one host; `hosts/...`: for data, place and probe the largest
      over the median of all hosts, and `hosts/slowest`, the number of the host
      with the most seconds of its own.
    """
    if self._probe is None or not self._steps:
      return {}
    work = Work(
      self._data / self._steps, self._place / self._steps, self._probe()
    )
    self._steps, self._data, self._place = 0, 0.0, 0.0
    table = self._gather(np.array(dataclasses.astuple(work), np.float32))
    self._totals = table if self._totals is None else self._totals + table
    self._lines += 1
    return spread(table)

  def summary(self) -> str:
    """A line on the whole run; empty with one host."""
    if self._totals is None:
      return ''
    table = self._totals / self._lines
    found = spread(table)
    slowest = int(found['hosts/slowest'])
    data, place, probe = table[slowest] * 1e3
    return (
      f'{len(table)} hosts: the slowest is host {slowest} with {data:.1f} ms '
      f'of data, {place:.1f} ms of placing and {probe:.2f} ms of probe a step; '
      f'largest over median: data {found["hosts/data_spread"]:.2f}, place '
      f'{found["hosts/place_spread"]:.2f}, probe '
      f'{found["hosts/probe_spread"]:.2f}'
    )


def spread(table: Any) -> dict[str, float]:
  """How far the slowest host is from the middle one.

  Args:
    table: seconds, (hosts, 3): data, place and probe.

  Returns:
    `hosts/<data|place|probe>_seconds`, the largest, and `..._spread`, the
    largest over the median; `hosts/slowest`, the host with the largest sum.
  """
  table = np.asarray(table, np.float64)
  metrics = {}
  for column, name in enumerate(('data', 'place', 'probe')):
    most = float(table[:, column].max())
    middle = max(float(np.median(table[:, column])), 1e-6)
    metrics[f'hosts/{name}_seconds'] = most
    metrics[f'hosts/{name}_spread'] = max(most, 1e-6) / middle
  metrics['hosts/slowest'] = float(table.sum(axis=1).argmax())
  return metrics


def _allgather(row: np.ndarray) -> np.ndarray:
  from jax.experimental import multihost_utils

  return np.asarray(multihost_utils.process_allgather(row))
