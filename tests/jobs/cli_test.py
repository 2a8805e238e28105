"""Tests of the console command: help, unknown jobs, exit statuses."""

import os
import subprocess
import sys

import pytest

from videopoet_jax import __version__
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
