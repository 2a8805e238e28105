"""Tests of reading gin: what works, and one clear line for what does not."""

import os
import pathlib

import gin
import pytest

from videopoet_jax.core import config
from videopoet_jax.core import errors
from videopoet_jax.core import paths


@gin.configurable(module='config_test')
def bake(flavour='plain', num_layers=1, oven=gin.REQUIRED):
  if num_layers > 9:
    raise errors.LayoutError('too high')
  return flavour, num_layers, oven


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A working directory of its own, with the configuration cleared after."""
  monkeypatch.chdir(tmp_path)
  yield tmp_path
  gin.clear_config()


def _write(path: pathlib.Path, text: str) -> str:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)
  return path.as_posix()


def _message(*args, **kwargs) -> str:
  with pytest.raises(errors.ConfigError) as caught:
    config.parse(*args, **kwargs)
  message = str(caught.value)
  assert '\n' not in message
  return message


def test_later_sources_win(folder):
  run = _write(folder / 'run.gin', "bake.flavour = 'run'\nbake.num_layers = 2")
  task = _write(folder / 'task.gin', 'bake.num_layers = 3\nbake.oven = "t"')
  config.parse([run], ['bake.oven = "flag"'], [task])
  assert bake() == ('run', 3, 'flag')
  assert "bake.flavour = 'run'" in config.text()


def test_each_parse_starts_afresh(folder):
  config.parse(bindings=['bake.num_layers = 5', 'bake.oven = 1'])
  config.parse(bindings=['bake.oven = 2'])
  assert bake() == ('plain', 1, 2)


def test_include_in_working_directory_comes_first(folder):
  _write(folder / 'gin' / 'mine.gin', "bake.flavour = 'mine'\nbake.oven = 1")
  run = _write(folder / 'run.gin', "include 'gin/mine.gin'")
  config.parse([run])
  assert bake()[0] == 'mine'


def test_shipped_files_are_found_from_any_folder(folder, monkeypatch):
  root = folder / 'assets'
  _write(root / 'tasks' / 'shipped.gin', "bake.flavour = 'shipped'")
  _write(root / 'gin' / 'runs' / 'a.gin', "include 'tasks/shipped.gin'")
  monkeypatch.setattr(paths, 'assets_root', lambda: root)
  config.parse(['gin/runs/a.gin'], ['bake.oven = 1'])
  assert bake()[0] == 'shipped'


def test_importable_tasks_folder_does_not_break_includes(folder, monkeypatch):
  _write(folder / 'elsewhere' / 'tasks' / 'other.gin', '')
  monkeypatch.syspath_prepend(str(folder / 'elsewhere'))
  message = _message([_write(folder / 'run.gin', "include 'tasks/absent.gin'")])
  assert "'tasks/absent.gin', which does not exist" in message


def test_unknown_configurable_names_binding_file_and_near_name(folder):
  run = _write(folder / 'run.gin', '\nbakke.flavour = 1')
  message = _message([run])
  assert 'run.gin line 2 (bakke.flavour = 1)' in message
  assert "no configurable 'bakke'" in message
  assert "'bake'" in message


def test_unknown_parameter_in_a_binding(folder):
  message = _message(bindings=['bake.num_layer = 3'])
  assert "binding 'bake.num_layer = 3'" in message
  assert "did you mean 'num_layers'" in message


def test_unknown_reference(folder):
  message = _message(bindings=['bake.oven = @bakee()'])
  assert 'no configurable @bakee' in message
  assert "'bake'" in message


def test_missing_file_and_near_name(folder, monkeypatch):
  root = folder / 'assets'
  _write(root / 'tasks' / 'a.gin', '')
  _write(root / 'gin' / 'runs' / 'small.gin', '')
  monkeypatch.setattr(paths, 'assets_root', lambda: root)
  message = _message(['gin/runs/smal.gin'])
  assert "no gin file 'gin/runs/smal.gin'" in message
  assert "did you mean 'gin/runs/small.gin'" in message


def test_required_left_open_in_a_file(folder):
  run = _write(folder / 'run.gin', 'bake.oven = %gin.REQUIRED')
  assert 'bake.oven is required' in _message([run])
  config.parse([run], ['bake.oven = 1'])
  assert bake()[2] == 1


def test_required_macro_left_open(folder):
  run = _write(
    folder / 'run.gin', 'DEPTH = %gin.REQUIRED\nbake.num_layers = %DEPTH'
  )
  assert 'DEPTH is required' in _message([run])
  config.parse([run], ['DEPTH = 4', 'bake.oven = 0'])
  assert bake()[1] == 4


def test_macro_never_bound(folder):
  message = _message(bindings=['bake.num_layers = %DEPHT'])
  assert '%DEPHT is used and bound nowhere' in message


def test_required_left_open_in_a_call(folder):
  config.parse()
  with pytest.raises(errors.ConfigError, match='bake needs oven'):
    config.call(bake)
  assert config.call(bake, oven=2) == ('plain', 1, 2)


@pytest.mark.parametrize(
  'line', ['bake.flavour = chocolate', 'bake.oven =', 'bake.oven = [1,', '= 3']
)
def test_syntax_errors(folder, line):
  assert 'not valid gin' in _message(bindings=[line])
  run = _write(folder / 'run.gin', f'bake.oven = 1\n{line}\n')
  assert 'run.gin' in _message([run])


def test_import_that_fails(folder):
  message = _message([_write(folder / 'run.gin', 'import no_such_module')])
  assert 'no_such_module' in message
  assert 'run.gin line 1' in message


def test_split_arguments():
  bindings, rest = config.split_arguments(
    ['--run_dir', 'x', '--gin.A.b=[1, 2]', '--gin.C="d=e"', 'f']
  )
  assert bindings == ['A.b = [1, 2]', 'C = "d=e"']
  assert rest == ['--run_dir', 'x', 'f']
  with pytest.raises(errors.ConfigError, match='binds nothing'):
    config.split_arguments(['--gin.A.b'])


def test_readers_of_other_libraries_are_kept(folder):
  def reads_nothing(path: str) -> bool:
    return False

  entry = (os.open, reads_nothing)
  gin.config._FILE_READERS.append(entry)
  try:
    config.parse()
    assert entry in gin.config._FILE_READERS
  finally:
    gin.config._FILE_READERS.remove(entry)


def test_an_include_is_looked_for_beside_its_file(folder, monkeypatch):
  _write(folder / 'mine/run.gin', "include 'base.gin'\nbake.oven = 1")
  _write(folder / 'mine/base.gin', "include 'deep/er.gin'")
  _write(folder / 'mine/deep/er.gin', "include '../side.gin'")
  _write(folder / 'mine/side.gin', "bake.flavour = 'beside'")
  (folder / 'elsewhere').mkdir()
  monkeypatch.chdir(folder / 'elsewhere')
  config.parse(['../mine/run.gin'])
  assert bake() == ('beside', 1, 1)
  # The working directory comes first, and includes of other files after one
  # are looked for as before.
  _write(folder / 'elsewhere/base.gin', "bake.flavour = 'here'")
  config.parse(['../mine/run.gin'])
  assert bake()[0] == 'here'


def test_what_is_beside_a_file_wins_over_what_is_shipped(folder, monkeypatch):
  _write(folder / 'mine/run.gin', "include 'gin/training/loop.gin'")
  _write(folder / 'mine/gin/training/loop.gin', 'bake.oven = 7')
  (folder / 'elsewhere').mkdir()
  monkeypatch.chdir(folder / 'elsewhere')
  config.parse([str(folder / 'mine/run.gin')])
  assert bake()[2] == 7


def test_a_file_that_includes_itself_is_refused(folder):
  _write(folder / 'a.gin', "include 'b.gin'")
  _write(folder / 'b.gin', "include 'a.gin'")
  assert 'is included by itself' in _message(['a.gin'])
  # And what was read before it is no longer open.
  _write(folder / 'b.gin', 'bake.oven = 1')
  config.parse(['a.gin'])


@pytest.mark.parametrize(
  'binding',
  [
    'import os',
    'a b = 1',
    '= 1',
    'bake.oven',
    'bake.oven = {[]: 1}',
    'a..b = 1',
    'bake.oven = %',
    'bake/oven = 1',
    '@bake = 1',
    'bake.oven = @',
  ],
)
def test_what_is_no_binding_is_one_line(folder, binding):
  with pytest.raises(errors.ConfigError) as caught:
    config.parse(bindings=['bake.oven = 1', binding])
    # `import os` is a statement of gin, and binds nothing.
    raise errors.ConfigError('read')
  assert '\n' not in str(caught.value)
