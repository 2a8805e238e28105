"""Measures the real side of metrics of two sets, once for all checkpoints.

Its sums are stored in a folder whose name is a hash of everything that they
depend on, so that protocols, checkpoints and runs may share it.
"""

from collections.abc import Callable, Sequence
import dataclasses
import hashlib
import json
import math
import pathlib
import time
from typing import Any

import numpy as np

from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import intervals
from videopoet_jax.evaluation import measured as measured_lib
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import sample_store
from videopoet_jax.evaluation.metrics import features
from videopoet_jax.evaluation.metrics import interface

_SUMS = 'sums.npz'


def is_of_sets(metric: interface.Metric) -> bool:
  """Whether a metric compares two sets rather than pairs."""
  return isinstance(metric, features.TwoSets)


def own_needs(metric: interface.Metric) -> tuple[str, ...]:
  """The inputs that a metric needs from a batch of samples.

  The real side of a metric of sets is measured separately.
  """
  if not is_of_sets(metric):
    return metric.needs
  return tuple(name for name in metric.needs if not name.startswith('real'))


@dataclasses.dataclass(frozen=True)
class RealSide:
  """The real clips of one task.

  Attributes:
    protocol: protocol of the task.
    task: task to measure.
    metrics: metrics of the task; those of two sets are measured.
    source: set of the real clips.
    folder: folder of all real sides.
    journal: journal of this host.
    batch_size: number of clips measured together.
    log: receives lines for the screen.
  """

  protocol: protocol_lib.Protocol
  task: protocol_lib.EvaluationTask
  metrics: Sequence[interface.Metric]
  source: eval_datasets.Set
  folder: pathlib.Path
  journal: sample_store.Journal
  batch_size: int = 64
  log: Callable[[str], None] = print

  def _count(self, metric: interface.Metric) -> tuple[int, int]:
    """Number of clips for one value, and number of values."""
    size, repeats = self.task.subset(metric.name)
    if self.task.real_samples:
      return self.task.real_samples, repeats
    return math.ceil(size / self.task.per_condition), repeats

  def _places(self, positions: np.ndarray) -> np.ndarray:
    task, size = self.task, self.source.size
    if not task.real_samples:
      # The conditions themselves, those of each repeat.
      return eval_datasets.places(positions, size, task.order_seed)
    repeats, inner = np.divmod(positions, task.real_samples)
    found = np.empty_like(inner)
    for repeat in np.unique(repeats):
      chosen = repeats == repeat
      # A separate draw for every repeat, if clips are drawn at all.
      found[chosen] = eval_datasets.places(
        inner[chosen], size, task.real_order_seed, int(repeat)
      )
    return found

  def _home(self, metric: interface.Metric) -> pathlib.Path:
    task = self.task
    depends = {
      'metric': metric.fingerprint,
      'set': self.source.fingerprint,
      'count': [*self._count(metric), self.protocol.block],
      'order': [task.real_samples, task.real_order_seed, task.order_seed],
      'clips': [task.first_frame, task.frames],
      'size': [*task.size, task.resizing],
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode())
    return self.folder / f'{metric.name}_{digest.hexdigest()[:16]}'

  def measure(self, hosts: Any) -> float:
    """Measures everything that is missing; all hosts have to call it.

    Args:
      hosts: `runner.Hosts`.

    Returns:
      Seconds spent this time.
    """
    started = time.monotonic()
    for metric in self.metrics:
      if not is_of_sets(metric):
        continue
      home = self._home(metric)
      done = (home / _SUMS).is_file()
      hosts.barrier('real side looked')
      if done:
        continue
      total = math.prod(self._count(metric))
      stream = sample_store.Stream(
        home, f'real/{home.name}', total, self.journal, hosts.index
      )
      hosts.barrier('real side listed')
      missing = hosts.share(stream.missing(), self.protocol.block)
      if len(missing):
        self.log(
          f'  {self.task.name}: {len(missing)} real clips of '
          f'{self.source.name} for {metric.name}'
        )
      for start in range(0, len(missing), self.batch_size):
        self._batch(metric, stream, missing[start : start + self.batch_size])
      hosts.barrier('real side measured')
      if hosts.index == 0:
        stream.refresh()
        self._add_up(metric, stream, home)
    return time.monotonic() - started

  def _batch(
    self,
    metric: interface.Metric,
    stream: sample_store.Stream,
    positions: np.ndarray,
  ) -> None:
    stream.begin(positions)
    clips: Any = self.source.read(self._places(positions))
    inputs: dict[str, np.ndarray] = {}
    if 'real' in metric.needs:
      inputs['real'] = measured_lib.real(clips.video_BTHWC, self.task)
    if 'real_audio' in metric.needs:
      inputs['real_audio'] = clips.audio_BT
    found = metric.measure(inputs)
    stream.finish(positions, {k: np.asarray(v) for k, v in found.items()}, {})

  def _add_up(
    self,
    metric: interface.Metric,
    stream: sample_store.Stream,
    home: pathlib.Path,
  ) -> None:
    arrays: dict[str, np.ndarray] = {}
    block, (count, repeats) = self.protocol.block, self._count(metric)
    for repeat in range(repeats):
      first = repeat * count
      sums = intervals.add_up(
        metric,
        stream.blocks(first, first + count, block),
        math.ceil(count / block),
      )
      states = {'state': sums.state}
      states |= {f'group{i:02d}': s for i, s in enumerate(sums.groups)}
      for name, state in states.items():
        arrays |= interface.put_under(f'{repeat}/{name}', state)
    sample_store.write_arrays(home / _SUMS, arrays)
    stream.forget()

  def sums(self, metric: interface.Metric) -> list[intervals.Sums | None]:
    """The statistics of each repeat, or None for each without a real set."""
    _, repeats = self._count(metric)
    if not is_of_sets(metric):
      return [None] * repeats
    arrays = sample_store.read_arrays(self._home(metric) / _SUMS) or {}
    found: list[intervals.Sums | None] = []
    for repeat in range(repeats):
      part = interface.under(str(repeat), arrays)
      names = sorted({key.split('/')[0] for key in part} - {'state'})
      groups = [interface.under(name, part) for name in names]
      found.append(intervals.Sums(interface.under('state', part), groups, {}))
    return found
