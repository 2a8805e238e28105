"""Tests of the console command: help, unknown jobs, exit statuses."""

import os
import signal
import subprocess
import sys

import pytest

from videopoet_jax import __version__
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.jobs import cli


def test_help_lists_every_job_without_importing_any(capsys):
  assert cli.main(['--help']) == 0
  out = capsys.readouterr().out
  for name, (_, line) in cli.JOBS.items():
    assert f'  {name} ' in out
    assert line in out
  assert all(len(line) <= 80 for line in out.splitlines())


def test_no_job_is_a_mistake(capsys):
  assert cli.main([]) == 2
  assert 'usage' in capsys.readouterr().out


def test_version(capsys):
  assert cli.main(['--version']) == 0
  assert __version__ in capsys.readouterr().out


def test_unknown_job_shows_near_names(capsys):
  assert cli.main(['prepair']) == 2
  assert "did you mean 'prepare'" in capsys.readouterr().err


@pytest.mark.parametrize(
  'job, given, kept',
  [('layouts', None, '1'), ('layouts', '3', '3'), ('evaluate', None, None)],
)
def test_small_products_get_one_thread_unless_said(
  job, given, kept, monkeypatch, capsys
):
  name = 'OPENBLAS_NUM_THREADS'
  environment = {} if given is None else {name: given}
  monkeypatch.setattr(os, 'environ', environment)
  with pytest.raises(SystemExit):
    cli.main([job, '--help'])
  assert environment.get(name) == kept
  assert 'usage' in capsys.readouterr().out


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


def test_help_is_quick_and_imports_no_heavy_library(repository):
  code = (
    'import sys; from videopoet_jax.jobs import cli; cli.main(["--help"]); '
    'print(sorted({m.split(".")[0] for m in sys.modules} '
    '& {"jax", "numpy", "tensorflow", "flax"}))'
  )
  result = subprocess.run(
    [sys.executable, '-c', code],
    cwd=repository,
    capture_output=True,
    text=True,
    check=True,
    timeout=60,
  )
  assert result.stdout.splitlines()[-1] == '[]'
