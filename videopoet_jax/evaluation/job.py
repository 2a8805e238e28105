"""Evaluates checkpoints or tokenizers by one protocol, into one folder.

OUT/protocol.json                the protocol, every field
OUT/results.jsonl                all metrics of all checkpoints
OUT/report.html, rating.html     see `reporting/pages.py`
OUT/table.md, table.html, sheets/  of tokenizers, see `tokenizer_pages.py`
OUT/checkpoints/<name>_<step>_<fingerprint>/<task>/
pieces/ ...                  what is measured so far; gone when done
samples/000000.npz ...       samples that are kept
values.npz                   each sample's value
done.json                    the task's metrics and times
OUT/real/ ...                    real sides, shared by all checkpoints
"""

from collections.abc import Callable, Mapping
import dataclasses
import os
import pathlib

import jax

from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.evaluation import checkpoint_choice
from videopoet_jax.evaluation import cut
from videopoet_jax.evaluation import devices as devices_lib
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import reconstruction
from videopoet_jax.evaluation import reference_stats
from videopoet_jax.evaluation import results as results_lib
from videopoet_jax.evaluation import runner
from videopoet_jax.evaluation import sample_store
from videopoet_jax.evaluation import task_inputs
from videopoet_jax.evaluation.metrics import catalogue
from videopoet_jax.evaluation.networks import paths as paths_lib
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.parallel import start

PROTOCOL = 'protocol.json'
CHECKPOINTS = 'checkpoints'
REAL = 'real'

Subject = checkpoint_choice.Checkpoint | reconstruction.ChosenTokenizer


@dataclasses.dataclass(frozen=True)
class Job:
  """What is evaluated, how, and where to.

  Attributes:
    protocol: the metrics and tasks.
    out: folder of all results.
    data: folders of the protocol's sets, by name.
    networks: where the weights of feature networks are.
    devices: that generate.
    batch_size: samples generated at once on this host.
    keep: samples of a task that are kept; -1 all.
    videos: whether they are kept as mp4, too.
    cache: folder of real sides; the job's own unless given.
    log: receives lines for the screen.
  """

  protocol: protocol_lib.Protocol
  out: pathlib.Path
  data: Mapping[str, str]
  networks: paths_lib.NetworkPaths
  devices: devices_lib.Devices
  batch_size: int = 64
  keep: int = 8
  videos: bool = False
  cache: str | os.PathLike[str] = ''
  log: Callable[[str], None] = print

  @property
  def hosts(self) -> runner.Hosts:
    return runner.Hosts(jax.process_index(), jax.process_count(), start.barrier)

  @property
  def is_first(self) -> bool:
    """Whether this process is the one that writes results."""
    return jax.process_index() == 0

  def folder(self, checkpoint: Subject) -> pathlib.Path:
    """Folder of one checkpoint's evaluation."""
    return self.out / CHECKPOINTS / checkpoint.key

  def prepare(self) -> None:
    """Makes the folder, or checks that it is of this protocol.

    Raises:
      ConfigError: it holds results of another protocol.
      DataError: it cannot be written.
    """
    found = sample_store.read_json(self.out / PROTOCOL)
    if found is not None and found.get('id') != self.protocol.id:
      raise errors.ConfigError(
        f'{self.out} holds results of protocol {found.get("id")}; this one is '
        f'{self.protocol.id}. Give another --out.'
      )
    start.barrier('evaluation folder')
    if found is None and self.is_first:
      sample_store.write_json(self.out / PROTOCOL, self.protocol.describe())

  def is_done(self, checkpoint: Subject) -> bool:
    """Whether all tasks of a checkpoint are."""
    folder = self.folder(checkpoint)
    return all(
      (folder / task.name / runner.DONE).is_file()
      for task in self.protocol.tasks
    )

  def evaluate(self, checkpoint: Subject) -> list[results_lib.Result]:
    """Evaluates a checkpoint, as far as that is not done.

    Returns:
      Its metrics, on every process.

    Raises:
      UserError: the checkpoint, a set or a network does not fit.
    """
    folder = self.folder(checkpoint)
    left = [
      task
      for task in self.protocol.tasks
      if not (folder / task.name / runner.DONE).is_file()
    ]
    start.barrier('evaluation tasks')
    if left:
      self._evaluate(checkpoint, folder, left)
    start.barrier('evaluation done')
    return self.read(folder)

  def _evaluate(
    self,
    checkpoint: Subject,
    folder: pathlib.Path,
    left: list[protocol_lib.EvaluationTask],
  ) -> None:
    sets = open_sets(self.protocol, self.data)
    make = self._open(checkpoint)
    # All inputs are opened before the first task runs, so that what is missing
    # is reported at the start.
    runs = [
      self._task_run(make(task, sets[task.data, task.split]), sets, folder)
      for task in left
    ]
    with self.devices.use():
      for run in runs:
        results, seconds = run.run()
        if self.is_first:
          rows = self._rows(checkpoint, run, results, seconds)
          sample_store.write_json(
            run.folder / runner.DONE,
            {
              'results': [row.to_json() for row in rows],
              'seconds': {k: round(v, 4) for k, v in seconds.items()},
              'given': list(run.inputs.features),
              'condition_frames': run.inputs.condition_frames,
            },
          )
          run.finish()
          for row in rows:
            self.log(f'  {results_lib.line(row)}')
        start.barrier('evaluation task written')

  def _open(
    self, checkpoint: Subject
  ) -> Callable[
    [protocol_lib.EvaluationTask, eval_datasets.Set], task_inputs.Inputs
  ]:
    """Opens a checkpoint; returns a function that makes the inputs of tasks."""
    if isinstance(checkpoint, reconstruction.ChosenTokenizer):
      tokenizer = checkpoint.tokenizer
      self.devices.spread_tokenizer(tokenizer)

      def reconstructed(
        task: protocol_lib.EvaluationTask, source: eval_datasets.Set
      ) -> task_inputs.Inputs:
        inputs = reconstruction.ReconstructedInputs(task, tokenizer, source)
        if self.is_first:
          reconstruction.say(inputs, self.log)
        return inputs

      return reconstructed
    generator = self.devices.spread(
      generator_lib.Generator.from_opened(
        checkpoint.opened, step=checkpoint.step
      )
    )

    def generated(
      task: protocol_lib.EvaluationTask, source: eval_datasets.Set
    ) -> task_inputs.Inputs:
      inputs = task_inputs.GeneratedInputs(task, generator, source)
      cut.check_rate(task, inputs.features, source, generator.space)
      return inputs

    return generated

  def _task_run(
    self,
    inputs: task_inputs.Inputs,
    sets: Mapping[tuple[str, str], eval_datasets.Set],
    folder: pathlib.Path,
  ) -> runner.TaskRun:
    task = inputs.task
    metrics = catalogue.build(self.protocol, inputs, self.networks)
    journal = sample_store.Journal(self.out, jax.process_index())
    log = self.log if self.is_first else lambda line: None
    return runner.TaskRun(
      protocol=self.protocol,
      inputs=inputs,
      metrics=metrics,
      real=reference_stats.RealSide(
        self.protocol,
        task,
        metrics,
        sets.get((task.real_name, task.real_part), inputs.conditions),
        storage.path(self.cache) if self.cache else self.out / REAL,
        journal,
        self.batch_size,
        log,
      ),
      folder=folder / task.name,
      journal=journal,
      hosts=self.hosts,
      batch_size=self.devices.batch_size(self.batch_size),
      keep=self.keep,
      videos=self.videos,
      log=log,
    )

  def _rows(
    self,
    checkpoint: Subject,
    run: runner.TaskRun,
    results: list[runner.MetricResult],
    seconds: Mapping[str, float],
  ) -> list[results_lib.Result]:
    data = {run.inputs.conditions.name: run.inputs.conditions.fingerprint}
    data.setdefault(run.real.source.name, run.real.source.fingerprint)
    return [
      results_lib.Result(
        metric=result.metric,
        task=run.task.name,
        value=result.estimate.value,
        low=results_lib.finite(result.estimate.low),
        high=results_lib.finite(result.estimate.high),
        samples=result.samples,
        protocol=self.protocol.id,
        higher_is_better=result.higher_is_better,
        checkpoint=str(checkpoint.folder),
        step=checkpoint.step,
        model=checkpoint.fingerprint,
        fingerprint=result.fingerprint,
        data=data,
        revision=results_lib.revision(),
        seconds=round(sum(seconds.values()), 3),
        detail=result.detail,
      )
      for result in results
    ]

  def read(self, folder: pathlib.Path) -> list[results_lib.Result]:
    """Reads the results in a checkpoint's folder, in order of the protocol."""
    found = []
    for task in self.protocol.tasks:
      path = folder / task.name / runner.DONE
      done = sample_store.read_json(path)
      for fields in (done or {}).get('results', ()):
        found.append(results_lib.from_json(fields, str(path)))
    return found

  def collect(self) -> list[results_lib.Result]:
    """Reads all results in the folder, by checkpoint; writes them, too."""
    folder = self.out / CHECKPOINTS
    found = []
    for one in sorted(folder.iterdir()) if folder.is_dir() else ():
      found += self.read(one)
    if self.is_first:
      results_lib.write(self.out / results_lib.FILE_NAME, found)
    return found

  def seconds(self) -> dict[str, float]:
    """What each kind of work took, over all that the folder holds."""
    total: dict[str, float] = {}
    for path in sorted((self.out / CHECKPOINTS).glob(f'*/*/{runner.DONE}')):
      for name, value in (sample_store.read_json(path) or {})[
        'seconds'
      ].items():
        total[name] = total.get(name, 0.0) + float(value)
    return total


def open_sets(
  protocol: protocol_lib.Protocol, folders: Mapping[str, str]
) -> dict[tuple[str, str], eval_datasets.Set]:
  """Every set of a protocol, by name and split.

  Args:
    protocol: that names them.
    folders: where they are, by name.

  Raises:
    DataError: one is not there, or was cut otherwise than a task says.
  """
  wanted = {(task.data, task.split) for task in protocol.tasks}
  wanted |= {
    (task.real_name, task.real_part) for task in protocol.tasks if task.real
  }
  found = {
    (name, split): eval_datasets.open_set(name, split, folders)
    for name, split in sorted(wanted)
  }
  for task in protocol.tasks:
    source = found.get((task.real_name, task.real_part))
    cut.check(protocol, task, source or found[task.data, task.split])
  return found
