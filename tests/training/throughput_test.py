"""The steps since the last line and their rate, with a clock by hand."""

import numpy as np
import pytest

from videopoet_jax.training import throughput


@pytest.fixture(name='clock')
def _clock(monkeypatch):
  now = [1000.0]
  monkeypatch.setattr(throughput.time, 'monotonic', lambda: now[0])
  return now


def _metrics(loss, skipped=0):
  return {'loss': loss, 'skipped_steps': skipped, 'skipped_in_a_row': skipped}


_TOKENS = {'tokens': np.zeros((4, 25)), 'visible': np.zeros((4, 25))}


def test_rates_and_what_is_left(clock):
  window = throughput.Throughput(10, 100)
  for loss in (1.0, 2.0, 6.0):
    window.add('a', _metrics(loss), _TOKENS)
  clock[0] += 6.0
  line, values = window.summary(13)
  assert values == {
    'loss': 3.0, 'skipped_steps': 0.0, 'steps_per_second': 0.5,
    'tokens_per_second': 50.0,
  }  # fmt: skip
  assert line == (
    'step 13/100  loss 3.0000  0.50 steps/s  50 tokens/s  2 min 54 s left'
  )


def test_a_summary_begins_a_new_window(clock):
  window = throughput.Throughput(0, 100)
  window.add('a', _metrics(1.0), _TOKENS)
  clock[0] += 9.0
  window.summary(1)
  window.add('a', _metrics(5.0), _TOKENS)
  clock[0] += 2.0
  _, values = window.summary(2)
  assert values['loss'] == 5.0
  assert values['steps_per_second'] == 0.5
  assert values['tokens_per_second'] == 50.0


def test_time_that_is_not_a_steps_is_left_out(clock):
  window = throughput.Throughput(0, 10)
  window.add('a', _metrics(1.0), _TOKENS)
  clock[0] += 5.0
  window.leave_out(4.0)
  assert window.summary(1)[1]['steps_per_second'] == 1.0


def test_examples_are_counted_where_there_are_no_tokens(clock):
  window = throughput.Throughput(0, 10, parts=3)
  window.add('a', _metrics(1.0), {'video': np.zeros((4, 2, 2))})
  clock[0] += 2.0
  line, values = window.summary(1)
  # One of three parts of the batch is this host's.
  assert values['examples_per_second'] == 6.0
  assert '  6 examples/s  ' in line and 'tokens_per_second' not in values


def test_skipped_steps_are_those_so_far(clock):
  window = throughput.Throughput(0, 10)
  for skipped in (0, 1, 2):
    window.add('a', _metrics(1.0, skipped), _TOKENS)
  clock[0] += 1.0
  assert window.last('skipped_steps') == 2.0
  line, values = window.summary(3)
  assert values['skipped_steps'] == 2.0
  assert line.endswith('  2 steps skipped')
