"""`metrics.jsonl`: what is written, what a resumed run keeps, and means."""

import json
import math

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.training import metrics


def _writer(folder, **options):
  return metrics.Writer(folder, **{'tensorboard': False, **options})


def _write(folder, steps, **options):
  writer = _writer(folder, **options)
  for step in steps:
    writer.write(step, {'loss': step / 10})
  writer.close()
  return writer


def _steps(folder):
  return [r['step'] for r in metrics.read(folder / metrics.FILE_NAME)]


def test_numbers_gaps_and_texts(tmp_path):
  writer = _writer(tmp_path)
  scalars = {
    'a': np.float32(0.5), 'b': math.nan, 'c': -math.inf, 'd': 3, 'e': 'text',
  }  # fmt: skip
  writer.write(7, scalars)
  writer.close()
  (line,) = (tmp_path / metrics.FILE_NAME).read_text().splitlines()
  record = json.loads(line, parse_constant=pytest.fail)
  assert record.pop('time') > 1e9
  assert record == {
    'step': 7, 'a': 0.5, 'b': None, 'c': None, 'd': 3.0, 'e': 'text',
  }  # fmt: skip


def test_a_line_is_on_disk_at_once(tmp_path):
  writer = _writer(tmp_path)
  writer.write(1, {'loss': 1.0})
  assert _steps(tmp_path) == [1]
  writer.close()


@pytest.mark.parametrize(
  ('first', 'kept', 'redone'),
  [
    (0, [], 6),
    (3, [2], 3),
    (4, [2, 4], 2),
    (6, [2, 4, 6], 0),
    (9, [2, 4, 6], 0),
  ],
)
def test_later_steps_are_done_again(tmp_path, first, kept, redone):
  _write(tmp_path, (2, 4, 6))
  writer = _write(tmp_path, (99,), first_step=first)
  assert writer.redone_steps == redone
  assert _steps(tmp_path) == [*kept, 99]
  assert not list(tmp_path.glob('*.partial'))


def test_only_one_host_writes(tmp_path):
  writer = _write(tmp_path / 'run', (1,), enabled=False)
  assert not (tmp_path / 'run').exists() and writer.redone_steps == 0


def test_a_line_cut_short_is_left_out(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
  assert metrics.read(path) == [{'step': 1}, {'step': 2}]
  assert metrics.read(tmp_path / 'none.jsonl') == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
  blocked = tmp_path / 'file'
  blocked.touch()
  with pytest.raises(errors.CheckpointError, match='cannot write .*--run_dir'):
    _writer(blocked / 'run')


def test_a_full_disk_is_told_and_closing_is_quiet(tmp_path):
  writer = _writer(tmp_path)

  class _Full:
    def write(self, text):
      raise OSError(28, 'No space left on device')

    def close(self):
      raise OSError(28, 'No space left on device')

  writer._file.close()
  writer._file = _Full()
  with pytest.raises(errors.CheckpointError, match='cannot write metrics in'):
    writer.write(1, {'loss': 1.0})
  writer.close()
  writer.write(2, {'loss': 1.0})  # Nothing is open any more.


def test_an_error_that_is_not_of_storage_stays_as_it_is(tmp_path):
  writer = _writer(tmp_path)
  with pytest.raises(ZeroDivisionError):
    with writer._storage_errors():
      raise ZeroDivisionError
  writer.close()


def test_means_are_over_the_steps_that_have_a_metric():
  steps = [
    ('a', {'loss': 1.0, 'x': 4.0}),
    ('a', {'loss': 3.0}),
  ]
  assert metrics.averages(steps) == {'loss': 2.0, 'x': 4.0}
  several = [*steps, ('b', {'loss': np.float32(8.0)})]
  assert metrics.averages(several) == {
    'loss': 4.0, 'x': 4.0, 'loss/a': 2.0, 'loss/b': 8.0,
  }  # fmt: skip
  assert metrics.averages([]) == {}


def test_a_file_in_a_bucket_is_written_whole_and_not_too_often(
  tmp_path, monkeypatch
):
  now = [100.0]
  monkeypatch.setattr(metrics.time, 'monotonic', lambda: now[0])
  path = tmp_path / 'a'
  path.write_text('old\n')
  file = metrics._RemoteFile(path, 'old\n')
  file.write('one\n')
  now[0] += 9.9
  file.flush()
  assert path.read_text() == 'old\n'
  now[0] += 0.1
  file.flush()
  assert path.read_text() == 'old\none\n'
  file.write('two\n')
  file.flush()
  assert path.read_text() == 'old\none\n'
  file.close()
  assert path.read_text() == 'old\none\ntwo\n'
