"""Tests of what the repository and the wheel hold."""

import os
import pathlib
import subprocess
import sys

import pytest

from videopoet_jax.core import paths
from videopoet_jax.jobs import cli

_MAX_LINES = 600
_DATA_FOLDERS = ('gin', 'tasks', 'launch')


def _python_files(repository: pathlib.Path) -> list[pathlib.Path]:
  folders = [repository / name for name in ('videopoet_jax', 'tests')]
  return sorted(p for folder in folders for p in folder.rglob('*.py'))


def _run(code: str, folder: pathlib.Path) -> str:
  result = subprocess.run(
    [sys.executable, '-c', code],
    cwd=folder,
    env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert result.returncode == 0, result.stderr
  return result.stdout.strip()


@pytest.mark.parametrize('folder', _DATA_FOLDERS)
def test_data_folders_are_not_packages(repository, folder):
  assert not list((repository / folder).rglob('*.py'))


def test_gin_is_the_library_in_the_root_of_the_clone(repository):
  # The interpreter puts the working directory first on its path.
  found = _run('import gin; print(gin.configurable, gin.__file__)', repository)
  assert 'site-packages' in found


def test_a_package_named_gin_would_shadow_the_library(tmp_path):
  (tmp_path / 'gin').mkdir()
  ours = 'import gin; print(hasattr(gin, "configurable"))'
  assert _run(ours, tmp_path) == 'True'
  (tmp_path / 'gin' / '__init__.py').write_text('')
  assert _run(ours, tmp_path) == 'False'


def test_no_file_shadows_the_standard_library(repository):
  # `python videopoet_jax/jobs/<job>.py` puts that folder first on the path.
  taken = {
    p.name
    for p in _python_files(repository)
    if p.stem in sys.stdlib_module_names and p.parent.name == 'jobs'
  }
  assert not taken
  assert not [p for p in _python_files(repository) if p.stem == 'tokenize']


def test_files_are_short(repository):
  lengths = {p: p.read_text().count('\n') for p in _python_files(repository)}
  long = {p.as_posix(): n for p, n in lengths.items() if n > _MAX_LINES}
  assert not long


def test_every_module_has_a_docstring(repository):
  bare = [
    p.as_posix()
    for p in _python_files(repository)
    if not p.read_text().lstrip().startswith(('"""', 'r"""'))
    and p.read_text().strip()
  ]
  assert not bare


def test_assets_travel_in_the_build(repository, tmp_path):
  """Builds the package and compares its assets with the folders' files."""
  result = subprocess.run(
    [
      *(sys.executable, 'setup.py', '-q', 'build'),
      *('--build-base', str(tmp_path / 'build')),
      *('--build-lib', str(tmp_path / 'lib')),
    ],
    cwd=repository,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert result.returncode == 0, result.stderr
  package = tmp_path / 'lib' / 'videopoet_jax'
  assert paths.assets_root(package) == package / '_assets'
  shipped = paths.gin_files(package / '_assets')
  assert shipped == paths.gin_files(repository)
  assert any(name.startswith('tasks/') for name in shipped)
  assert (package / 'rooms.toml').is_file()
  assert (package / 'py.typed').is_file()
  assert not list((package / '_assets').rglob('*.py'))


def test_every_job_of_the_command_exists(repository):
  jobs = repository / 'videopoet_jax' / 'jobs'
  there = {path.stem for path in jobs.glob('*.py')}
  assert {module for module, _ in cli.JOBS.values()} <= there
