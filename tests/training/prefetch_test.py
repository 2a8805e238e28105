"""Batches that are made ahead are those of their steps."""

import threading

import pytest

from videopoet_jax.training import prefetch


class _Batches:
  def __init__(self):
    self.made = []
    self.threads = set()
    self.ready = threading.Event()

  def batch(self, step):
    self.threads.add(threading.current_thread())
    self.made.append(step)
    if step == 3:
      self.ready.set()
    if step == 99:
      raise ValueError('no such step')
    return {'step': step}


def test_each_step_is_made_once_and_some_ahead():
  batches = _Batches()
  ahead = prefetch.Prefetch(batches, 5, ahead=2)
  try:
    assert ahead.batch(1) == {'step': 1}
    assert batches.ready.wait(30)  # Steps 2 and 3 without being asked for.
    assert batches.made == [1, 2, 3]
    assert [ahead.batch(step)['step'] for step in (2, 3, 4)] == [2, 3, 4]
    assert batches.made == [1, 2, 3, 4]  # None past the end.
    assert threading.current_thread() not in batches.threads
  finally:
    ahead.close()


def test_an_error_arrives_with_its_own_step():
  ahead = prefetch.Prefetch(_Batches(), 200, ahead=2)
  try:
    assert ahead.batch(98) == {'step': 98}
    with pytest.raises(ValueError, match='no such step'):
      ahead.batch(99)
    assert ahead.batch(100) == {'step': 100}
  finally:
    ahead.close()


def test_nothing_is_made_behind_the_end():
  batches = _Batches()
  ahead = prefetch.Prefetch(batches, 2, ahead=0)
  assert ahead.batch(0) == {'step': 0}
  assert ahead.batch(1) == {'step': 1}
  ahead.close()
  assert batches.made == [0, 1]
  with pytest.raises(RuntimeError):
    prefetch.Prefetch.batch(ahead, 0)
