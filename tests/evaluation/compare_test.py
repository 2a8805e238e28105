"""Rules, baselines, and what may not be compared."""

import dataclasses
import json
import math

import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation import compare
from videopoet_jax.evaluation import results


def result(value=0.6, low=0.5, high=0.7, **changes):
  fields = {
    'metric': 'right',
    'task': 'text_to_video',
    'value': value,
    'low': low,
    'high': high,
    'samples': 256,
    'protocol': 'shapes-v1-00',
    'higher_is_better': True,
    'checkpoint': 'demo',
    'step': 100,
    'model': 'aa',
    'fingerprint': 'ff',
    'data': {'shapes': 'dd'},
    'revision': 'r',
    'seconds': 1.0,
  }
  return results.Result(**{**fields, **changes})


def test_results_come_back_as_they_were(tmp_path):
  wanted = [result(), result(value=math.nan, low=None, high=None, step=None)]
  results.write(tmp_path / 'results.jsonl', wanted)
  found = results.read(tmp_path)
  assert found[0] == wanted[0]
  assert math.isnan(found[1].value) and found[1].step is None
  fields = json.loads((tmp_path / 'results.jsonl').read_text().splitlines()[0])
  for name in ('metric', 'task', 'value', 'low', 'high', 'samples', 'protocol',
               'checkpoint', 'step', 'revision', 'seconds'):  # fmt: skip
    assert name in fields


def test_other_files_are_no_results(tmp_path):
  with pytest.raises(errors.DataError, match='cannot read the results'):
    results.read(tmp_path / 'none.jsonl')
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1, "loss": 2}\n')
  with pytest.raises(errors.DataError, match='line 1 is no line of'):
    results.read(path)


@pytest.mark.parametrize(
  'text, holds',
  [
    ('right/text_to_video>=0.6', True),
    ('right/text_to_video>0.6', False),
    ('right/* >= 0.61', False),
    ('right/*<=1e0', True),
  ],
)
def test_rules(text, holds):
  problems = compare.broken([compare.rule(text)], [result()])
  assert (not problems) == holds


def test_a_value_that_is_no_number_breaks_every_rule():
  rule = compare.rule('right/*<=1')
  assert compare.broken([rule], [result(value=math.nan)])


@pytest.mark.parametrize('text', ['right>=1', 'right/a=1', 'right/a>=x', ''])
def test_what_is_no_rule(text):
  with pytest.raises(errors.ConfigError, match='is no rule'):
    compare.rule(text)


def test_a_rule_about_nothing_is_a_mistake():
  rule = compare.rule('right/text_to_vide>=0.5')
  with pytest.raises(errors.ConfigError, match="did you mean 'right/text_to"):
    compare.check_rules([rule], ['right/text_to_video'])
  with pytest.raises(errors.ConfigError, match='no metric of this job'):
    compare.broken([rule], [result()])


@pytest.mark.parametrize(
  'before, after, worse',
  [
    (result(0.69), result(0.6, 0.5, 0.7), False),
    (result(0.71), result(0.6, 0.5, 0.7), True),
    (result(0.3), result(0.6, 0.5, 0.7), False),
    (result(0.6), result(math.nan, None, None), True),
    (result(0.61), result(0.6, None, None), True),
    (
      result(100, higher_is_better=False),
      result(120, 110, 130, higher_is_better=False),
      True,
    ),
    (
      result(115, higher_is_better=False),
      result(120, 110, 130, higher_is_better=False),
      False,
    ),
  ],
)
def test_worse_than_the_baseline(before, after, worse):
  (change,) = compare.changes([before], [after])
  assert change.is_worse == worse


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'protocol': 'shapes-v1-01'}, 'of different protocols'),
    ({'fingerprint': 'fe'}, 'other weights or settings'),
    ({'data': {'shapes': 'de'}}, 'measured on other data'),
    ({'task': 'stylization'}, 'nothing to compare'),
  ],
)
def test_what_cannot_be_compared(changes, message):
  other = dataclasses.replace(result(), **changes)
  with pytest.raises(errors.ConfigError, match=message):
    compare.changes([result()], [other])


def test_the_last_result_of_a_baseline_counts():
  (change,) = compare.changes([result(0.9), result(0.65)], [result()])
  assert not change.is_worse
