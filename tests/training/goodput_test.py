"""The shares of a run's time add up, and every kind is booked."""

import pytest

from videopoet_jax.training import goodput


def test_time_is_divided_among_the_kinds():
  now = [10.0]
  book = goodput.Goodput(lambda: now[0])

  def work(seconds):
    now[0] += seconds

  work(1.0)
  with book.spend('compile'):
    assert (book.kind, book.since) == ('compile', 11.0)
    work(6.0)
  assert (book.kind, book.since, book.last) == ('step', 17.0, 6.0)
  with pytest.raises(RuntimeError), book.spend('data'):
    work(1.0)
    raise RuntimeError
  work(2.0)
  seconds = book.seconds()
  assert seconds['step'] == 3.0
  assert seconds['data'] == 1.0
  assert seconds['total'] == 10.0
  shares = book.shares()
  assert sum(shares.values()) == pytest.approx(1.0)
  assert shares['goodput/compile'] == pytest.approx(0.6)
  assert goodput.describe(shares) == '60 % compile, 30 % steps, 10 % data'


def test_an_unknown_kind_is_a_mistake():
  with pytest.raises(KeyError), goodput.Goodput().spend('coffee'):
    pass
