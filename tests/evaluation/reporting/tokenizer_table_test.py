"""The table of tokenizers."""

from tests.evaluation import tiny_protocol
from videopoet_jax.evaluation import results
from videopoet_jax.evaluation.reporting import tokenizer_table


def _result(metric, value, **changes):
  fields = {
    'metric': metric, 'task': 'one', 'value': value, 'low': None, 'high': None,
    'samples': 6, 'protocol': 'p', 'higher_is_better': metric == 'psnr',
    'checkpoint': 'runs/a', 'step': None, 'model': 'a' * 16,
    'fingerprint': metric, 'data': {'film': 'd'}, 'revision': 'r',
    'seconds': 1.0,
  }  # fmt: skip
  return results.Result(**{**fields, **changes})


_B = {'checkpoint': 'runs/b', 'model': 'b' * 16}
_PROTOCOL = tiny_protocol.make(
  tiny_protocol.task(metrics=('psnr', 'bits_per_pixel'))
)


def _table(*some):
  return tokenizer_table.Table.of(_PROTOCOL, some)


def test_a_row_a_tokenizer_and_a_column_a_metric():
  table = _table(
    _result('psnr', 25.0, low=24.0, high=26.0, **_B),
    _result('bits_per_pixel', 0.05, low=0.05, high=0.05, **_B),
    _result('psnr', 27.5),
    _result('bits_per_pixel', 0.1),
  )
  assert table.columns == ('psnr ↑', 'bits_per_pixel ↓')
  assert [label for label, _ in table.rows] == ['a', 'b']
  assert table.markdown().splitlines() == [
    '| tokenizer | psnr ↑ | bits_per_pixel ↓ |',
    '|---|---|---|',
    '| a | **27.5** | 0.1 |',
    '| b | 25 (24 to 26) | **0.05** |',
  ]
  lines = table.text().splitlines()
  assert len({len(line) for line in lines}) == 1 and not table.notes


def test_missing_values_and_equal_names():
  other = {'checkpoint': 'elsewhere/a', 'model': 'c' * 16}
  table = _table(_result('psnr', 25.0), _result('psnr', float('nan'), **other))
  assert table.rows[0][0] == 'elsewhere/a' and table.rows[1][0] == 'runs/a'
  assert [cell.text for cell in table.rows[0][1]] == ['-', '-']
  # The same folder, trained further in between.
  table = _table(_result('psnr', 25.0), _result('psnr', 26.0, model='c' * 16))
  assert [label for label, _ in table.rows] == [
    'runs/a aaaaaaaa', 'runs/a cccccccc',
  ]  # fmt: skip


def test_rows_that_cannot_be_compared_are_noted():
  table = _table(
    _result('psnr', 25.0, detail={'fitted': ['trimmed']}),
    _result('psnr', 26.0, data={'film': 'e'}, fingerprint='x', **_B),
  )
  notes = '\n'.join(table.notes)
  assert 'a: trimmed.' in notes and 'different data' in notes
  assert 'psnr was measured with different weights' in notes
  assert notes in table.text() and 'different data' in table.markdown()
