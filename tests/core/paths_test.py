"""Tests of finding `gin/` and `tasks/` in a clone and in a wheel."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import paths


def _tree(root, *files):
  for name in files:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('')


def test_clone_has_the_folders_beside_the_package(tmp_path):
  _tree(tmp_path, 'gin/a.gin', 'tasks/b.gin', 'videopoet_jax/__init__.py')
  assert paths.assets_root(tmp_path / 'videopoet_jax') == tmp_path


def test_wheel_has_them_inside(tmp_path):
  package = tmp_path / 'videopoet_jax'
  # In an environment the gin library stands beside the package.
  _tree(tmp_path, 'gin/__init__.py', 'tasks/b.gin')
  _tree(package, '_assets/gin/a.gin', '_assets/tasks/b.gin')
  assert paths.assets_root(package) == package / '_assets'


def test_the_gin_library_is_not_taken_for_ours(tmp_path):
  _tree(tmp_path, 'gin/__init__.py', 'tasks/b.gin')
  with pytest.raises(errors.ConfigError, match='installation is incomplete'):
    paths.assets_root(tmp_path / 'videopoet_jax')


def test_lists_include_strings(tmp_path):
  _tree(tmp_path, 'gin/models/a.gin', 'gin/readme.txt', 'tasks/b.gin')
  assert paths.gin_files(tmp_path) == ('gin/models/a.gin', 'tasks/b.gin')
  assert paths.task_files(tmp_path) == ('tasks/b.gin',)


def test_working_directory_wins(tmp_path, monkeypatch):
  root, here = tmp_path / 'root', tmp_path / 'here'
  _tree(root, 'gin/a.gin', 'tasks/b.gin')
  _tree(here, 'gin/a.gin')
  monkeypatch.chdir(here)
  assert paths.resolve('gin/a.gin', root).resolve() == here / 'gin/a.gin'
  assert paths.resolve('tasks/b.gin', root) == root / 'tasks/b.gin'
  with pytest.raises(errors.ConfigError, match=r'tasks/b\.gin'):
    paths.resolve('tasks/bb.gin', root)
