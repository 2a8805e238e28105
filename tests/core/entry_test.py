"""What a job's end looks like: one line, an exit status, or a traceback."""

import os
import signal

import pytest

from videopoet_jax.core import entry
from videopoet_jax.core import errors


def _raise(error):
  def main(argv):
    raise error

  return main


def test_user_error_is_one_line_and_status_2(capsys):
  error = errors.DataError('first\nsecond')
  assert entry.run(_raise(error), []) == 2
  assert capsys.readouterr().err == 'DataError: first second\n'


def test_gin_trace_is_left_out(capsys):
  error = errors.DataError(
    "bad\n  In call to configurable 'train' (<function train at 0x7f>)"
  )
  entry.run(_raise(error), [])
  assert capsys.readouterr().err == 'DataError: bad\n'


def test_interrupt_is_130():
  assert entry.run(_raise(KeyboardInterrupt()), []) == 130


def test_the_first_process_of_a_container_ends_by_sigterm(monkeypatch):
  before = signal.getsignal(signal.SIGTERM)
  seen, ended = [], []
  monkeypatch.setattr(os, '_exit', ended.append)
  try:
    entry.run(lambda argv: seen.append(signal.getsignal(signal.SIGTERM)), [])
    assert seen == [before]
    monkeypatch.setattr(os, 'getpid', lambda: 1)
    entry.run(lambda argv: signal.raise_signal(signal.SIGTERM), [])
  finally:
    signal.signal(signal.SIGTERM, before)
  assert ended == [143]


def test_bugs_show_their_traceback():
  with pytest.raises(ZeroDivisionError):
    entry.run(_raise(ZeroDivisionError()), [])


def test_status_of_the_job_is_kept():
  assert entry.run(lambda argv: None, []) == 0
  assert entry.run(lambda argv: len(argv), ['a', 'b', 'c']) == 3
