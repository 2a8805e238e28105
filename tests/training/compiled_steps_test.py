"""Where compiled programs are kept, and in which order they are made."""

import pathlib
import pwd
import threading

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


def test_a_folder_that_is_given_wins(monkeypatch, tmp_path):
  monkeypatch.setenv(compiled_steps.CACHE_VARIABLE, str(tmp_path / 'a'))
  compiled_steps.keep_on_disk()
  assert jax.config.values[_OPTION] == str(tmp_path / 'a')
  compiled_steps.keep_on_disk()  # What is set stays.
  assert jax.config.values[_OPTION] == str(tmp_path / 'a')
  compiled_steps.keep_on_disk(tmp_path / 'b')
  assert jax.config.values[_OPTION] == str(tmp_path / 'b')


def test_units_come_in_the_order_of_their_first_steps():
  def unit_at(step):
    return 'bacab'[step % 5]

  first = compiled_steps.first_steps(unit_at, range(1, 9))
  assert list(first.items()) == [('a', 1), ('c', 2), ('b', 4)]


def _programs(units, *, in_background):
  made, threads = [], set()

  def make(unit):
    made.append(unit)
    threads.add(threading.current_thread())
    return f'program of {unit}'

  programs = compiled_steps.CompiledSteps(
    units, make, in_background=in_background
  )
  return programs, made, threads


def test_a_unit_is_compiled_once_when_it_is_asked_for():
  programs, made, threads = _programs(['a', 'b'], in_background=False)
  assert made == []
  assert programs.get('b') == programs.get('b') == 'program of b'
  assert made == ['b'] and threads == {threading.current_thread()}
  programs.close()


def test_in_the_background_units_are_compiled_in_their_order():
  programs, made, threads = _programs(['c', 'a', 'b'], in_background=True)
  assert programs.get('b') == 'program of b'
  assert made == ['c', 'a', 'b']
  assert threading.current_thread() not in threads
  # One that nobody foresaw is compiled at once.
  assert programs.get('d') == 'program of d' and made[-1] == 'd'
  programs.close()


def test_a_single_unit_needs_no_thread(monkeypatch):
  now = [0.0]

  def tick():
    now[0] += 2.0
    return now[0]

  monkeypatch.setattr(compiled_steps.time, 'monotonic', tick)
  programs, _, threads = _programs(['a'], in_background=True)
  programs.get('a')
  assert threads == {threading.current_thread()}
  assert programs.seconds == 2.0
  programs.close()
