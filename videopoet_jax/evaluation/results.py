"""`results.jsonl`: one line a metric, each with everything it depends on."""

from collections.abc import Iterable, Mapping
import dataclasses
import functools
import json
import math
import os
import pathlib
import subprocess
from typing import Any

from videopoet_jax import __version__
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.evaluation import sample_store

FILE_NAME = 'results.jsonl'


@dataclasses.dataclass(frozen=True)
class Result:
  """One value of a metric.

  Attributes:
    metric: name of the metric.
    task: task of the protocol.
    value: value of the metric.
    low: lower end of its 95 % interval; None where there is none.
    high: upper end; None where there is none.
    samples: number of generated samples, repeats included.
    protocol: id of the protocol.
    higher_is_better: whether a larger value is better.
    checkpoint: folder that was evaluated.
    step: step of training; None if the folder has no steps.
    model: fingerprint of the checkpoint's files.
    fingerprint: fingerprint of the metric, its network's weights included.
    data: fingerprints of the sets, by name.
    revision: git revision of the code, or the package's version.
    seconds: seconds that the row took: generating, measuring, summing.
    detail: further values of the metric.
  """

  metric: str
  task: str
  value: float
  low: float | None
  high: float | None
  samples: int
  protocol: str
  higher_is_better: bool
  checkpoint: str
  step: int | None
  model: str
  fingerprint: str
  data: Mapping[str, str]
  revision: str
  seconds: float
  detail: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def name(self) -> str:
    """`metric/task`, as in rules."""
    return f'{self.metric}/{self.task}'

  def to_json(self) -> dict[str, Any]:
    """Fields as JSON values; numbers that are not finite become null."""
    fields = dataclasses.asdict(self)
    for name in ('value', 'low', 'high'):
      number = fields[name]
      if number is not None and not math.isfinite(number):
        fields[name] = None
    return fields


def from_json(fields: Mapping[str, Any], where: str) -> Result:
  """Makes a result from a line's fields; raises DataError if some lack."""
  known = {field.name for field in dataclasses.fields(Result)}
  kept = {name: value for name, value in fields.items() if name in known}
  try:
    if kept['value'] is None:
      kept['value'] = math.nan
    return Result(**kept)
  except (TypeError, KeyError) as error:
    raise errors.DataError(
      f'{where} is no line of {FILE_NAME} ({error}); give a file that '
      '`videopoet evaluate` wrote.'
    ) from error


def read(path: str | os.PathLike[str]) -> list[Result]:
  """The results of a file, in order.

  Args:
    path: path of the file, or of the folder that holds `results.jsonl`.

  Raises:
    DataError: it is missing or not such a file.
  """
  file = storage.path(path)
  if file.is_dir():
    file = file / FILE_NAME
  try:
    lines = file.read_text(encoding='utf-8').splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise errors.DataError(
      f'cannot read the results {file}: {error}; give a {FILE_NAME} that '
      '`videopoet evaluate` wrote, or its folder.'
    ) from error
  results = []
  for number, line in enumerate(lines, 1):
    if not line.strip():
      continue
    where = f'{file} line {number}'
    try:
      fields = json.loads(line)
    except ValueError as error:
      raise errors.DataError(f'{where} is not JSON: {error}.') from error
    results.append(from_json(fields, where))
  return results


def write(path: str | os.PathLike[str], results: Iterable[Result]) -> None:
  """Writes all results, whole or not at all."""
  lines = [json.dumps(result.to_json()) for result in results]
  text = '\n'.join(lines) + '\n' if lines else ''
  sample_store.write_whole(storage.path(path), text.encode())


@functools.cache
def revision() -> str:
  """The git revision of this code (`-dirty` if changed), or its version."""
  root = pathlib.Path(__file__).resolve().parents[2]
  if not (root / '.git').exists():
    return f'videopoet_jax {__version__}'
  try:
    found = subprocess.run(
      ['git', 'describe', '--always', '--abbrev=40', '--dirty'],
      cwd=root,
      capture_output=True,
      text=True,
      timeout=30,
      check=True,
    )
  except (OSError, subprocess.SubprocessError):
    return f'videopoet_jax {__version__}'
  return found.stdout.strip()


def finite(value: float) -> float | None:
  """The number, or None if it is not finite."""
  return value if math.isfinite(value) else None


def line(result: Result) -> str:
  """One result as a line for the terminal."""
  interval = ''
  if result.low is not None and result.high is not None:
    interval = f'{result.low:.4g} to {result.high:.4g}'
  return (
    f'{result.name:<38}{result.value:>10.4g}  {interval:<22}{result.samples}'
  )


def table(results: Iterable[Result]) -> str:
  """Results as lines of text for the terminal."""
  head = f'{"metric/task":<38}{"value":>10}  {"95 % interval":<22}samples'
  return '\n'.join([head, *map(line, results)])
