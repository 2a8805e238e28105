"""Evaluates one task of a protocol: makes samples, measures, adds up.

Each host takes blocks of the samples' numbers; what a batch yields is on disk
before the next one begins (`work.py`); when all hosts are through, process 0
adds up the measures in order of the numbers (`intervals.py`).
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import math
import pathlib
import time
from typing import Any

import numpy as np

from videopoet_jax.core import storage
from videopoet_jax.evaluation import intervals
from videopoet_jax.evaluation import measured as measured_lib
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import reference_stats
from videopoet_jax.evaluation import sample_store
from videopoet_jax.evaluation import samples as samples_lib
from videopoet_jax.evaluation import task_inputs
from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.shapes import judges

DONE = 'done.json'
VALUES = 'values.npz'


@dataclasses.dataclass(frozen=True)
class Hosts:
  """This process among those of the job.

  Attributes:
    index: index of this process.
    count: number of processes.
    barrier: waits for all; takes a name.
  """

  index: int = 0
  count: int = 1
  barrier: Callable[[str], None] = lambda name: None

  def share(self, numbers: np.ndarray, block: int) -> np.ndarray:
    """The samples that this host does: every `count`th block."""
    return numbers[(numbers // block) % self.count == self.index]


@dataclasses.dataclass(frozen=True)
class MetricResult:
  """One metric of a task, measured.

  Attributes:
    metric: its name.
    estimate: value and interval.
    samples: generated samples it is of.
    higher_is_better: the metric's sense.
    fingerprint: fingerprint of the metric.
    detail: what else the metric says.
  """

  metric: str
  estimate: intervals.Estimate
  samples: int
  higher_is_better: bool
  fingerprint: str
  detail: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class TaskRun:
  """One task of one checkpoint.

  Attributes:
    protocol: protocol of the task.
    inputs: task, conditions, and what makes the samples.
    metrics: metrics to measure.
    real: real clips that sets of samples are compared with.
    folder: folder of this task of this checkpoint.
    journal: journal of this host.
    hosts: hosts that share the work.
    batch_size: number of samples generated at once on this host.
    keep: number of samples that are kept to be looked at; -1 all.
    videos: whether they are kept as mp4, too.
    log: receives lines for the screen.
  """

  protocol: protocol_lib.Protocol
  inputs: task_inputs.Inputs
  metrics: Sequence[interface.Metric]
  real: reference_stats.RealSide
  folder: pathlib.Path
  journal: sample_store.Journal
  hosts: Hosts = Hosts()
  batch_size: int = 64
  keep: int = 8
  videos: bool = False
  log: Callable[[str], None] = lambda line: None

  @property
  def task(self) -> protocol_lib.EvaluationTask:
    return self.inputs.task

  def run(self) -> tuple[list[MetricResult], dict[str, float]]:
    """Does what is not done yet.

    Returns:
      The metrics and the seconds of each kind of work, those of earlier runs
      included; metrics on process 0 alone.

    Raises:
      UserError: the checkpoint, a set or a metric does not fit.
    """
    # Is the set large enough?
    task_inputs.places(self.inputs, np.array([self.task.samples - 1]))
    stream = sample_store.Stream(
      self.folder,
      f'{self.folder.parent.name}/{self.task.name}',
      self.task.samples,
      self.journal,
      self.hosts.index,
    )
    # Everybody looks before anybody writes: shares are cut out of one list.
    self.hosts.barrier('evaluation looked')
    missing = self.hosts.share(stream.missing(), self.protocol.block)
    if len(missing):
      self.log(
        f'  {self.task.name}: {len(missing)} of {self.task.samples} samples of '
        f'{self.inputs.layout_name}'
      )
    for start in range(0, len(missing), self.batch_size):
      self._batch(stream, missing[start : start + self.batch_size])
    real_seconds = self.real.measure(self.hosts)
    self.hosts.barrier('evaluation measured')
    if self.hosts.index:
      return [], {}
    stream.refresh()
    started = time.monotonic()
    clock = _Clock()
    results = [self._result(metric, stream, clock) for metric in self.metrics]
    seconds = dict(stream.seconds)
    seconds['real'] = real_seconds
    seconds['chance'] = clock.seconds.get('chance', 0.0)
    seconds['sum'] = time.monotonic() - started - seconds['chance']
    return results, seconds

  def finish(self) -> None:
    """Removes intermediate files, once the metrics are written."""
    if self.hosts.index == 0:
      storage.remove_folder(self.folder / sample_store.PIECES)

  def _batch(self, stream: sample_store.Stream, numbers: np.ndarray) -> None:
    clock = _Clock()
    stream.begin(numbers)
    clips = task_inputs.clips_of(self.inputs, numbers)
    clock.lap('read')
    needed = {name for metric in self.metrics for name in metric.needs}
    made = self.inputs.make(
      self.protocol, clips, numbers, needed, self.batch_size
    )
    clock.lap('generate')
    found: dict[str, np.ndarray] = {}
    inputs = {**self._inputs(made.outputs, clips, numbers), **made.arrays}
    for metric in self.metrics:
      names = reference_stats.own_needs(metric)
      part = {name: inputs[name] for name in names if name in inputs}
      for name, values in metric.measure(part).items():
        found[f'{metric.name}/{name}'] = np.asarray(values)
    clock.lap('measure')
    samples_lib.keep(
      self.folder,
      made.outputs,
      numbers,
      self.keep,
      frame_rate=self.inputs.frame_rate,
      sampling_rate=self.inputs.sampling_rate,
      videos=self.videos,
    )
    clock.lap('write')
    stream.finish(numbers, found, clock.seconds)

  def _inputs(
    self, outputs: judges.Outputs, clips: Any, numbers: np.ndarray
  ) -> dict[str, np.ndarray]:
    """What metrics may need, of those that are asked for."""
    needed = {
      name
      for metric in self.metrics
      for name in reference_stats.own_needs(metric)
    }
    found: dict[str, np.ndarray] = {'index': np.asarray(numbers)}
    if outputs.video_BTHWC is not None:
      found['generated'] = measured_lib.generated(
        outputs.video_BTHWC, self.task
      )
    if outputs.audio_BT is not None:
      found['generated_audio'] = outputs.audio_BT
    if 'text' in needed:
      found['text'] = np.array(clips.captions)
    if 'real' in needed:
      found['real'] = measured_lib.real(clips.video_BTHWC, self.task)
    if 'real_audio' in needed:
      found['real_audio'] = clips.audio_BT
    return found

  def _result(
    self, metric: interface.Metric, stream: sample_store.Stream, clock: '_Clock'
  ) -> MetricResult:
    """Adds up one metric."""
    task, block = self.task, self.protocol.block
    size, repeats = task.subset(metric.name)
    sums = []
    for repeat in range(repeats):
      first = repeat * size
      blocks = (
        interface.under(metric.name, found)
        for found in stream.blocks(first, first + size, block)
      )
      sums.append(intervals.add_up(metric, blocks, math.ceil(size / block)))
    detail: Mapping[str, Any] = {}
    if isinstance(metric, interface.Summarizing):
      clock.lap('')
      estimate, detail = metric.summarize(sums[0].state)
      clock.lap('chance')
    else:
      compared = self.real.sums(metric)
      estimate = intervals.estimate(
        metric,
        list(zip(sums, compared, strict=True)),
        (self.protocol.id, task.name, metric.name),
      )
    self._keep_values(metric, sums)
    return MetricResult(
      metric.name,
      estimate,
      size * repeats,
      metric.higher_is_better,
      metric.fingerprint,
      {**detail, **self.inputs.detail},
    )

  def _keep_values(
    self, metric: interface.Metric, sums: Sequence[intervals.Sums]
  ) -> None:
    """Keeps each sample's value, for whoever wants to look at single ones."""
    kept = [one.samples for one in sums]
    if isinstance(metric, interface.Summarizing):
      kept = [one.state for one in sums]
    if not kept[0]:
      return
    path = self.folder / VALUES
    found = sample_store.read_arrays(path) or {}
    for key in kept[0]:
      joined = np.concatenate([values[key] for values in kept])
      found[f'{metric.name}/{key}'] = joined
    sample_store.write_arrays(path, found)


class _Clock:
  """Seconds of one kind of work after the other."""

  def __init__(self) -> None:
    self._last = time.monotonic()
    self.seconds: dict[str, float] = {}

  def lap(self, name: str) -> None:
    """The time since the last lap went into `name`."""
    now = time.monotonic()
    self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
    self._last = now


def overhead(seconds: Mapping[str, float]) -> float:
  """Share of the time that neither a model nor a network had: sums, files."""
  own = seconds.get('sum', 0.0) + seconds.get('write', 0.0)
  return own / max(sum(seconds.values()), 1e-9)
