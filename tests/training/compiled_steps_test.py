"""Where compiled programs are kept."""

import pathlib
import pwd

import jax
import pytest

from videopoet_jax.training import compiled_steps

_OPTION = 'jax_compilation_cache_dir'


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
  before = jax.config.values[_OPTION]
  jax.config.update(_OPTION, None)
  monkeypatch.delenv(compiled_steps.CACHE_VARIABLE, raising=False)
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  yield
  jax.config.update(_OPTION, before)


def test_programs_are_kept_in_the_home_folder(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  compiled_steps.keep_on_disk()
  expected = tmp_path / '.cache/videopoet_jax/programs'
  assert pathlib.Path(jax.config.values[_OPTION]) == expected


def test_without_a_home_nothing_is_kept_and_a_line_says_so(monkeypatch):
  def nobody(uid):
    raise KeyError(f'getpwuid(): uid not found: {uid}')

  monkeypatch.delenv('HOME', raising=False)
  monkeypatch.setattr(pwd, 'getpwuid', nobody)
  said = []
  compiled_steps.keep_on_disk(log=said.append)
  assert jax.config.values[_OPTION] is None
  assert len(said) == 1 and compiled_steps.CACHE_VARIABLE in said[0]
