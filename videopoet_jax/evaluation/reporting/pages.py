"""The pages of an evaluation: the report, and the blind rating."""

from collections.abc import Mapping, Sequence
import dataclasses
import pathlib
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.evaluation import compare
from videopoet_jax.evaluation import eval_datasets
from videopoet_jax.evaluation import job as job_lib
from videopoet_jax.evaluation import protocol as protocol_lib
from videopoet_jax.evaluation import results as results_lib
from videopoet_jax.evaluation import runner
from videopoet_jax.evaluation import sample_store
from videopoet_jax.evaluation import samples as samples_lib
from videopoet_jax.evaluation.reporting import examples as examples_lib
from videopoet_jax.evaluation.reporting import page
from videopoet_jax.evaluation.reporting import rating
from videopoet_jax.evaluation.reporting import report
from videopoet_jax.evaluation.reporting import votes
from videopoet_jax.shapes import judges
from videopoet_jax.shapes import scoreboard

REPORT = 'report.html'
RATING = 'rating.html'
_SHOWN = 6
_PAIRS = 8  # Pairs of a task on the rating page.


@dataclasses.dataclass(frozen=True)
class Evaluated:
  """One checkpoint's folder.

  Attributes:
    folder: folder with a subfolder for each task.
    name: name for readers.
  """

  folder: pathlib.Path
  name: str


def evaluated(out: pathlib.Path) -> list[Evaluated]:
  """Checkpoints of a job's folder, in the order of their names."""
  folder = out / job_lib.CHECKPOINTS
  found = sorted(folder.iterdir()) if folder.is_dir() else []
  return [
    Evaluated(one, one.name.rsplit('_', 1)[0])
    for one in found
    if any(one.glob(f'*/{runner.DONE}'))
  ]


class Pages:
  """Writes the pages of a job's folder, each time there are new results."""

  def __init__(
    self,
    job: job_lib.Job,
    baseline: Sequence[results_lib.Result] = (),
    versus: str = '',
  ) -> None:
    """Checks the arguments.

    Args:
      job: job of the folder.
      baseline: results of an earlier evaluation.
      versus: folder of another evaluation; '' rates the newest two of this one.

    Raises:
      UserError: `versus` is not an evaluation by this protocol.
    """
    self._job = job
    self._baseline = baseline
    self._versus = versus
    if versus:
      other = sample_store.read_json(storage.path(versus) / job_lib.PROTOCOL)
      if other is None:
        raise errors.DataError(
          f'--versus {versus} is no folder of an evaluation; give one that '
          '`videopoet evaluate` wrote.'
        )
      protocol_lib.check_same([job.protocol.id, other['id']], 'evaluations')

  def write(self) -> None:
    """Writes both pages; does nothing while no task is done."""
    found = evaluated(self._job.out)
    if not found:
      return
    has_rating = self._write_rating(found)
    results = self._job.collect()
    changes: list[compare.Change] = []
    if self._baseline:
      newest = self._job.read(found[-1].folder)
      changes = compare.changes(self._baseline, newest)
    page.write(
      self._job.out / REPORT,
      protocol=self._job.protocol,
      results=results,
      changes=changes,
      examples={
        task.name: kept_examples(found[-1].folder, task, self._job.data, _SHOWN)
        for task in self._job.protocol.tasks
      },
      seconds=self._job.seconds(),
      rating=RATING if has_rating else '',
      rates=self._rates(),
    )

  def _rates(self) -> tuple[float, int]:
    source = _set(self._job.protocol.tasks[0], self._job.data)
    return source.frame_rate, source.sampling_rate

  def _write_rating(self, found: Sequence[Evaluated]) -> bool:
    """Writes the rating page if there are two models to compare."""
    others = (
      evaluated(storage.path(self._versus)) if self._versus else found[:-1]
    )
    if not others:
      return False
    one, other = found[-1], others[-1]
    pairs: list[rating.Pair] = []
    for task in self._job.protocol.tasks:
      pairs += self._pairs(task, one, other)
    if not pairs:
      return False
    key = rating.key_of(_label(one), _label(other), pairs)
    folder = self._job.out / votes.KEYS
    sample_store.write_json(folder / f'{key["rating"]}.json', key)
    rating.write(self._job.out / RATING, key, pairs, *self._rates())
    return True

  def _pairs(
    self, task: protocol_lib.EvaluationTask, one: Evaluated, other: Evaluated
  ) -> list[rating.Pair]:
    mine = samples_lib.read(one.folder / task.name, _PAIRS)
    theirs = samples_lib.read(other.folder / task.name, _PAIRS)
    numbers = [n for n in mine if n in theirs and _is_video(mine[n])]
    if not numbers:
      return []
    given = given_of(one.folder, task, self._job.data)
    given_clips = clips(task, self._job.data, numbers)
    return [
      rating.Pair(
        task.name,
        number,
        tuple(examples_lib.conditions(given, given_clips, row)),
        examples_lib.signal('a', mine[number]),
        examples_lib.signal('b', theirs[number]),
        given_clips.captions[row] if 'text' in given.features else '',
      )
      for row, number in enumerate(numbers)
    ]


def given_of(
  folder: pathlib.Path,
  task: protocol_lib.EvaluationTask,
  data: Mapping[str, str],
) -> examples_lib.Given:
  """What the samples of a task are conditioned on.

  Args:
    folder: folder of an evaluated checkpoint.
    task: task of the protocol.
    data: folders of the protocol's sets, by name.
  """
  done = sample_store.read_json(folder / task.name / runner.DONE) or {}
  source = _set(task, data)
  return examples_lib.Given(
    tuple(done.get('given', ())),
    int(done.get('condition_frames', 0)),
    source.frame_rate,
    source.sampling_rate,
  )


def kept_examples(
  folder: pathlib.Path,
  task: protocol_lib.EvaluationTask,
  data: Mapping[str, str],
  most: int,
) -> list[report.Example]:
  """Samples that an evaluation kept, beside their conditions and the truth.

  Args:
    folder: folder of an evaluated checkpoint.
    task: task of the protocol.
    data: folders of the protocol's sets, by name.
    most: number of samples at most.
  """
  kept = samples_lib.read(folder / task.name, most)
  if not kept:
    return []
  values = sample_store.read_arrays(folder / task.name / runner.VALUES) or {}
  right = values.get(f'right/{scoreboard.RIGHT}')
  return examples_lib.examples(
    given_of(folder, task, data),
    clips(task, data, list(kept)),
    [{'generated': outputs} for outputs in kept.values()],
    [] if right is None else [bool(right[n]) for n in kept],
  )


def _set(
  task: protocol_lib.EvaluationTask, data: Mapping[str, str]
) -> eval_datasets.Set:
  return eval_datasets.open_set(task.data, task.split, data)


def clips(
  task: protocol_lib.EvaluationTask,
  data: Mapping[str, str],
  numbers: Sequence[int],
) -> Any:
  """Reads the conditions of samples, by the samples' numbers."""
  source = _set(task, data)
  positions = np.asarray(numbers) // task.per_condition
  return source.read(
    eval_datasets.places(positions, source.size, task.order_seed)
  )


def _is_video(outputs: judges.Outputs) -> bool:
  """Whether there is motion to rate: not in single pictures or sounds."""
  video = outputs.video_BTHWC
  return video is not None and video.shape[1] > 1


def _label(one: Evaluated) -> str:
  return str(one.folder)
