"""Writes a run's metrics to the screen, `metrics.jsonl` and TensorBoard."""

from collections.abc import Iterator, Mapping
import contextlib
import json
import os
import pathlib
import time
from typing import Any
import warnings

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import storage

FILE_NAME = 'metrics.jsonl'
TENSORBOARD_FOLDER = 'tensorboard'

# A bucket accepts one write of the same object a second.
_SECONDS_BETWEEN_WRITES = 10.0


class Writer:
  """Writes scalars of steps; only the first host does.

  Attributes:
    redone_steps: steps that were logged and are done again, since they came
      after the checkpoint that the run resumes from.
  """

  def __init__(
    self,
    directory: str | os.PathLike[str],
    *,
    first_step: int = 0,
    tensorboard: bool = True,
    enabled: bool = True,
  ) -> None:
    """Opens the files of a run.

    Args:
      directory: the run's folder.
      first_step: step that a resumed run starts from; lines of later steps are
        dropped, since those steps are done again.
      tensorboard: whether to write event files, too.
      enabled: whether to write at all.
    """
    self.redone_steps = 0
    directory = self._directory = storage.path(directory)
    self._file: Any = None
    self._tensorboard: Any = None
    if not enabled:
      return
    path = directory / FILE_NAME
    try:
      directory.mkdir(parents=True, exist_ok=True)
      found = read(path)
      kept = [r for r in found if r['step'] <= first_step]
      last = max((r['step'] for r in found), default=0)
      self.redone_steps = max(0, last - first_step)
      text = ''.join(json.dumps(r) + '\n' for r in kept)
      storage.write_whole(path, text)
      if storage.is_remote(path):
        self._file = _RemoteFile(path, text)
      else:
        self._file = path.open('a', encoding='utf-8')
    except OSError as error:
      raise errors.CheckpointError(
        f'cannot write {path}: {storage.failure(error)}; make room, or give a '
        '--run_dir that can be written'
      ) from error
    if tensorboard:
      # CLU writes event files through TensorFlow, which takes seconds to
      # import: only
      # a run that writes them imports it.
      try:
        from clu import metric_writers
      except ImportError as error:
        warnings.warn(
          f'no TensorBoard files, since {error.name} is not installed; the '
          f'metrics are in {path}',
          stacklevel=2,
        )
        return
      with self._storage_errors():
        self._tensorboard = metric_writers.SummaryWriter(
          str(directory / TENSORBOARD_FOLDER)
        )

  def write(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Writes the metrics of one step; a text value goes to the file only."""
    if self._file is None:
      return
    record: dict[str, Any] = {'step': step, 'time': round(time.time(), 3)}
    for name, value in scalars.items():
      record[name] = value if isinstance(value, str) else float(value)
    # NaN is not JSON; a reader of metrics expects a gap.
    safe = {
      k: None if isinstance(v, float) and not np.isfinite(v) else v
      for k, v in record.items()
    }
    with self._storage_errors():
      self._file.write(json.dumps(safe) + '\n')
      self._file.flush()
      if self._tensorboard is not None:
        self._tensorboard.write_scalars(
          step,
          {k: v for k, v in scalars.items() if not isinstance(v, str)},
        )

  def close(self) -> None:
    with self._storage_errors():
      if self._file is not None:
        self._file.close()
      if self._tensorboard is not None:
        self._tensorboard.close()

  @contextlib.contextmanager
  def _storage_errors(self) -> Iterator[None]:
    """Converts errors of storage to a CheckpointError, TensorFlow's too."""
    try:
      yield
    except Exception as error:
      reason = storage.failure(error)
      if not reason:
        raise
      # What is still buffered cannot be written when the file is closed.
      file, self._file, self._tensorboard = self._file, None, None
      if file is not None:
        with contextlib.suppress(OSError):
          file.close()
      raise errors.CheckpointError(
        f'cannot write metrics in {self._directory}: {reason}; make room, or '
        'give another --run_dir; the run resumes from its newest checkpoint'
      ) from error


class _RemoteFile:
  """A growing file in a bucket, where it can only be written as a whole."""

  def __init__(self, path: pathlib.Path, text: str) -> None:
    self._path = path
    self._text = [text]
    self._written = time.monotonic()

  def write(self, text: str) -> None:
    self._text.append(text)

  def flush(self) -> None:
    """Uploads the file unless that was done a moment ago."""
    if time.monotonic() - self._written >= _SECONDS_BETWEEN_WRITES:
      self._send()

  def _send(self) -> None:
    self._path.write_text(''.join(self._text))
    self._written = time.monotonic()

  def close(self) -> None:
    self._send()


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
  """Reads a `metrics.jsonl`; omits a last line cut short by a crash."""
  path = storage.path(path)
  if not path.exists():
    return []
  records = []
  for line in path.read_text(encoding='utf-8').splitlines():
    try:
      records.append(json.loads(line))
    except json.JSONDecodeError:
      break
  return records


def averages(steps: list[tuple[str, Mapping[str, Any]]]) -> dict[str, float]:
  """Means over some steps, and the means of the loss by unit.

  Args:
    steps: unit and metrics of each step.

  Returns:
    The mean of each metric over the steps that have it; `loss/<unit>`.
  """
  values: dict[str, list[float]] = {}
  several = len({unit for unit, _ in steps}) > 1
  for unit, metrics in steps:
    for name, value in metrics.items():
      values.setdefault(name, []).append(float(value))
    if several:
      values.setdefault(f'loss/{unit}', []).append(float(metrics['loss']))
  return {name: float(np.mean(v)) for name, v in values.items()}
