"""One line a value: written, read back, and shown."""

import json
import math

import pytest

from tests.evaluation import compare_test
from videopoet_jax.core import errors
from videopoet_jax.evaluation import results

_result = compare_test.result


def test_what_is_not_finite_is_null():
  fields = _result(value=math.inf, low=math.nan, high=-math.inf).to_json()
  assert (fields['value'], fields['low'], fields['high']) == (None,) * 3
  json.dumps(fields, allow_nan=False)
  plain = _result(value=0.25, low=None, high=0.5).to_json()
  assert (plain['value'], plain['low'], plain['high']) == (0.25, None, 0.5)


def test_unknown_fields_are_left_out_and_missing_ones_are_told():
  fields = _result().to_json()
  assert results.from_json({**fields, 'new': 1}, 'here') == _result()
  del fields['detail']  # It has a default.
  assert results.from_json(fields, 'here') == _result()
  for name in ('value', 'metric'):
    less = {k: v for k, v in fields.items() if k != name}
    with pytest.raises(errors.DataError, match='here is no line of'):
      results.from_json(less, 'here')


def test_a_folder_stands_for_its_file_and_empty_lines_for_nothing(tmp_path):
  path = tmp_path / results.FILE_NAME
  line = json.dumps(_result().to_json())
  path.write_text(f'\n{line}\n  \n{line}\n')
  assert results.read(tmp_path) == [_result()] * 2
  assert results.read(path) == [_result()] * 2


def test_a_line_that_is_no_json_is_numbered(tmp_path):
  path = tmp_path / 'results.jsonl'
  path.write_text(json.dumps(_result().to_json()) + '\n\n{"metric"\n')
  with pytest.raises(errors.DataError, match='line 3 is not JSON'):
    results.read(path)


def test_writing_none_leaves_an_empty_file(tmp_path):
  path = tmp_path / 'results.jsonl'
  results.write(path, [_result()])
  assert path.read_text().endswith('}\n')
  results.write(path, [])
  assert path.read_text() == '' and results.read(path) == []


def test_numbers_or_none():
  assert results.finite(1.5) == 1.5
  assert results.finite(math.nan) is None
  assert results.finite(math.inf) is None


def test_a_table_has_a_head_and_a_line_a_result():
  first, second = _result(), _result(value=12345.0, low=None, samples=7)
  head, *lines = results.table([first, second]).splitlines()
  assert head.split() == ['metric/task', 'value', '95', '%', 'interval',
                          'samples']  # fmt: skip
  assert lines[0].split() == [
    'right/text_to_video', '0.6', '0.5', 'to', '0.7', '256',
  ]  # fmt: skip
  # Without one end there is no interval.
  assert lines[1].split() == ['right/text_to_video', '1.234e+04', '7']
  assert [line.index(n) for line, n in zip(lines, ('256', '7'))] == [
    head.index('samples')
  ] * 2


def test_the_revision_names_a_commit_or_the_version():
  found = results.revision()
  assert len(found.removesuffix('-dirty')) == 40 or found.startswith(
    'videopoet'
  )
