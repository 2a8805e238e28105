"""SIGTERM ends a process that has nothing to save."""

import os
import signal

import pytest

from videopoet_jax.core import termination


def test_the_signal_ends_the_process_with_the_status_of_shells(monkeypatch):
  before = signal.getsignal(signal.SIGTERM)
  ended = []
  monkeypatch.setattr(os, '_exit', ended.append)
  try:
    termination.end_by_sigterm()
    assert ended == []
    signal.raise_signal(signal.SIGTERM)
  finally:
    signal.signal(signal.SIGTERM, before)
  assert ended == [143] == [termination.STATUS]


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_a_real_process_ends_at_once():
  child = os.fork()
  if not child:
    termination.end_by_sigterm()
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(0)  # Not reached.
  _, status = os.waitpid(child, 0)
  assert os.waitstatus_to_exitcode(status) == 143
