"""A run that does not get on is noticed; one that does is left alone."""

import dataclasses
import pathlib
import threading
import time

import pytest

from videopoet_jax.core import errors
from videopoet_jax.training import goodput as goodput_lib
from videopoet_jax.training import watchdog

_QUICK = watchdog.WatchdogConfig(
  factor=3.0, least_seconds=0.2, other_seconds=600.0
)


class _Told(list):
  """Takes lines, and lets a test wait for the first."""

  def __init__(self):
    super().__init__()
    self.first = threading.Event()

  def __call__(self, line):
    self.append(line)
    self.first.set()


def _watch(tmp_path, config, log_every=1, end=lambda status: None):
  told = _Told()
  book = goodput_lib.Goodput()
  watched = watchdog.Watchdog(
    config, book, tmp_path, log_every=log_every, log=told, end=end
  )
  return watched, book, told


def _stuck_in_here(event):
  event.wait(60)


def test_a_hang_is_told_with_step_unit_and_stacks(tmp_path):
  ended = []
  config = watchdog.WatchdogConfig(
    factor=3.0, least_seconds=0.2, other_seconds=600.0, exit=True
  )
  watched, _, told = _watch(tmp_path, config, end=ended.append)
  release = threading.Event()
  worker = threading.Thread(target=_stuck_in_here, args=(release,))
  worker.start()
  try:
    watched.at(7, 'b/large')
    watched.done(6, 0.001)
    assert told.first.wait(60)
  finally:
    release.set()
    worker.join()
    watched.close()
  assert "step 7 of unit 'b/large' begun, 6 steps known done" in told[0]
  stacks = (tmp_path / 'hang_process0_step7.txt').read_text()
  assert '_stuck_in_here' in stacks
  assert told[0].startswith('hang: process 0')
  assert told[1].split(' in ')[-1].endswith('hang_process0_step7.txt')
  assert ended == [watchdog.EXIT_STATUS]


@pytest.mark.parametrize('how', ['hangs', 'fails'])
def test_a_folder_that_does_not_answer_keeps_no_hang_secret(
  tmp_path, monkeypatch, how
):
  release, ended = threading.Event(), threading.Event()

  def write_text(*args, **options):
    if how == 'hangs':
      release.wait(60)
    raise RuntimeError('the bucket is gone')

  monkeypatch.setattr(pathlib.Path, 'write_text', write_text)
  if how == 'hangs':
    monkeypatch.setattr(watchdog, '_WRITING_SECONDS', 0.1)
  config = dataclasses.replace(_QUICK, exit=True)
  watched, _, told = _watch(tmp_path, config, end=lambda _: ended.set())
  try:
    watched.done(6, 0.001)
    assert ended.wait(60)
  finally:
    release.set()
    watched.close()
  assert told[0].startswith('hang: process 0')
  why = 'nothing after' if how == 'hangs' else 'the bucket is gone'
  assert 'stacks cannot be written' in told[1] and why in told[1]
  assert 'test_a_folder_that_does_not_answer' in told[1]


def test_it_goes_by_the_median_step_and_by_what_goes_on(tmp_path):
  watched, book, _ = _watch(tmp_path, _QUICK, log_every=5)
  try:
    assert watched.limit() == 600.0  # No step is known yet.
    for seconds in (1.0, 2.0, 90.0):
      watched.done(1, seconds)
    assert watched.limit() == (3.0 + 5) * 2.0
    with book.spend('compile'):
      assert watched.limit() == 600.0
    with book.spend('data'):
      assert watched.limit() == 16.0
    time.sleep(0.01)
    assert watched.stuck() > 0.0
    began = time.monotonic()
    with book.spend('validation'):
      pass
    assert watched.stuck() <= time.monotonic() - began
  finally:
    watched.close()


def test_progress_keeps_it_quiet(tmp_path):
  watched, _, told = _watch(tmp_path, _QUICK)
  try:
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
      watched.done(1, 10.0)
      time.sleep(0.01)
  finally:
    watched.close()
  assert not told
  assert not list(tmp_path.iterdir())


def test_it_can_be_turned_off(tmp_path):
  off = watchdog.WatchdogConfig(factor=0.0, least_seconds=0.01)
  watched, _, told = _watch(tmp_path, off)
  watched.done(1, 1e-6)
  time.sleep(0.1)
  watched.close()
  assert not told
  with pytest.raises(errors.ConfigError, match='least_seconds is -1'):
    watchdog.WatchdogConfig(least_seconds=-1)
