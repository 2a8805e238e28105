"""Local paths stay pathlib's; folders are copied in order."""

import pathlib
import subprocess
import sys

import pytest

from videopoet_jax.core import storage


def test_a_local_path_is_pathlibs(tmp_path):
  assert type(storage.path('a/b')) is type(pathlib.Path('a/b'))
  assert storage.path(tmp_path) == tmp_path
  assert not storage.is_remote(tmp_path / 'gs:')


def test_a_bucket_keeps_both_slashes():
  path = storage.path('gs://bucket/run') / 'steps'
  assert str(path) == 'gs://bucket/run/steps'
  assert str(storage.absolute(path)) == 'gs://bucket/run/steps'
  assert storage.is_remote(path)


def test_modified_tells_versions_apart(tmp_path):
  file = tmp_path / 'a'
  assert storage.modified(file) == 0
  file.write_text('1')
  assert storage.modified(file) == file.stat().st_mtime_ns


def test_files_of_all_folders_in_order(tmp_path):
  (tmp_path / 'b').mkdir()
  (tmp_path / 'empty').mkdir()
  for name in ('c', 'b/d', 'a'):
    (tmp_path / name).write_text(name)
  found = [p.relative_to(tmp_path).as_posix() for p in storage.files(tmp_path)]
  assert found == ['a', 'b/d', 'c']
  assert storage.size(tmp_path / 'b' / 'd') == 3


def test_the_last_file_comes_last(tmp_path, monkeypatch):
  (tmp_path / 'from' / 'inner').mkdir(parents=True)
  for name in ('a_info', 'b', 'inner/c'):
    (tmp_path / 'from' / name).write_text(name)
  copied = []
  copy_file = storage.copy_file
  monkeypatch.setattr(
    storage,
    'copy_file',
    lambda a, b: (copied.append(pathlib.Path(a).name), copy_file(a, b)),
  )
  storage.copy_folder(tmp_path / 'from', tmp_path / 'to', last='a_info')
  assert copied[-1] == 'a_info'
  assert (tmp_path / 'to' / 'inner' / 'c').read_text() == 'inner/c'
  assert len(copied) == 2  # The inner folder is copied by the library.


def test_a_folder_is_held_by_one_process(tmp_path):
  hold = (
    'import sys; from videopoet_jax.core import storage\n'
    'with storage.held(sys.argv[1]): print("held", flush=True); input()'
  )
  other = subprocess.Popen(
    [sys.executable, '-c', hold, tmp_path],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert other.stdout.readline() == 'held\n'
  with pytest.raises(BlockingIOError), storage.held(tmp_path):
    pass
  other.kill()
  other.communicate()
  with storage.held(tmp_path):
    assert not list(tmp_path.iterdir())


def test_a_local_path_may_be_written_as_an_address(tmp_path):
  assert storage.path(f'file://{tmp_path}') == tmp_path
  assert storage.absolute(f'file://{tmp_path}/a') == tmp_path / 'a'


def test_where_tensorstore_finds_a_folder(tmp_path):
  local = {'driver': 'file', 'path': f'{tmp_path}/'}
  assert storage.key_value_store(tmp_path) == local
  assert storage.key_value_store(f'file://{tmp_path}/') == local
  bucket = {'driver': 'gcs', 'bucket': 'b', 'path': 'c/d/'}
  assert storage.key_value_store('gs://b/c/d') == bucket
  assert storage.key_value_store('gs://b')['path'] == ''
