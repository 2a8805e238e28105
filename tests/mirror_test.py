"""Tests that every module has its tests where one looks for them.

`covered_by.toml` holds what the paths alone do not say. That a test file has
to do with a module is read from import statements: it imports the module, or
imports something that does, and so on. A module that is named in a string,
and a job that is run by its name, count as imported.
"""

import ast
from collections.abc import Iterable, Mapping
import functools
import pathlib
import re
import tomllib

import pytest

from videopoet_jax.jobs import cli

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PACKAGE = 'videopoet_jax'
# Folders of tests that are of no single module.
_FREE = ('docs', 'integration', 'launch', 'parity', 't5x')
_NO_MODULES = ('__init__.py', '__main__.py')
_NAMED = re.compile(rf'(?:{_PACKAGE}|tests)(?:\.\w+)+')


def _mirror(module: str) -> str:
  return f'{module.removesuffix(".py")}_test.py'


def offences(
  modules: Iterable[str],
  tests: Iterable[str],
  covered_by: Mapping[str, list[str]],
  further: Mapping[str, str],
  reached: Mapping[str, set[str]],
) -> list[str]:
  """Lists what does not keep to the rule.

  Args:
    modules: paths of the package's modules, from the package.
    tests: paths of the test files, from `tests/`.
    covered_by: by module without a mirror, its test files.
    further: by test file without a module, the module it is of.
    reached: by test file, the modules that it imports in any way.
  """
  modules, tests = set(modules), set(tests)
  mirrors = {_mirror(module) for module in modules}
  found = []
  for module in sorted(modules):
    if _mirror(module) not in tests and not covered_by.get(module):
      found.append(f'{module} has no tests/{_mirror(module)}')
  for module, files in covered_by.items():
    if module not in modules:
      found.append(f'covered_by: there is no module {module}')
    elif _mirror(module) in tests:
      found.append(f'covered_by: {module} has tests/{_mirror(module)} now')
    for file in files:
      if file not in tests:
        found.append(f'covered_by: there is no tests/{file}')
      elif module not in reached[file]:
        found.append(f'covered_by: {file} does not import {module}')
  for file in sorted(tests):
    folder, _, below = file.partition('/')
    # What lies beside this file is about the tree as a whole.
    is_free = not below or folder in _FREE
    if not is_free and file not in mirrors and file not in further:
      found.append(f'tests/{file} is of no module')
  for file, module in further.items():
    if file not in tests:
      found.append(f'further_tests: there is no tests/{file}')
    elif file in mirrors:
      found.append(f'further_tests: {file} has a module of its own path')
    elif module not in modules:
      found.append(f'further_tests: there is no module {module}')
    elif module not in reached[file]:
      found.append(f'further_tests: {file} does not import {module}')
  return found


def names_in(source: str) -> set[str]:
  """Dotted names that a file imports, or has in a string."""
  found = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and not node.level:
      found |= {f'{node.module}.{alias.name}' for alias in node.names}
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
      found |= set(_NAMED.findall(node.value))
      # `from videopoet_jax.core import entry`, as code for another process.
      for room, name in re.findall(
        rf'from ({_PACKAGE}[\w.]*) import (\w+)', node.value
      ):
        found.add(f'{room}.{name}')
    elif isinstance(node, ast.Call):
      runs = ast.unparse(node.func) == 'job_process.run' and node.args
      job = node.args[0] if runs else None
      if isinstance(job, ast.Constant) and job.value in cli.JOBS:
        found.add(f'{_PACKAGE}.jobs.{cli.JOBS[job.value][0]}')
  return found


def closure(start: str, edges: Mapping[str, set[str]]) -> set[str]:
  """All that is reached from a name, itself included."""
  seen, todo = set(), [start]
  while todo:
    name = todo.pop()
    if name not in seen:
      seen.add(name)
      todo.extend(edges.get(name, ()))
  return seen


@functools.cache
def _tree() -> dict[str, pathlib.Path]:
  """Files of the package and of the tests, by dotted name."""
  return {
    '.'.join(path.relative_to(_ROOT).with_suffix('').parts): path
    for folder in (_PACKAGE, 'tests')
    for path in (_ROOT / folder).rglob('*.py')
  }


@functools.cache
def _edges() -> dict[str, set[str]]:
  tree = _tree()
  return {
    name: {other for other in names_in(path.read_text()) if other in tree}
    for name, path in tree.items()
  }


def _below(folder: str, pattern: str = '*.py') -> list[str]:
  root = _ROOT / folder
  return [path.relative_to(root).as_posix() for path in root.rglob(pattern)]


def test_every_module_has_its_tests_and_every_test_its_module():
  table = tomllib.loads((_ROOT / 'tests/covered_by.toml').read_text())
  tests = _below('tests', '*_test.py')
  reached = {
    file: {
      '/'.join(name.split('.')[1:]) + '.py'
      for name in closure(
        '.'.join(('tests', *pathlib.PurePath(file).with_suffix('').parts)),
        _edges(),
      )
      if name.startswith(_PACKAGE)
    }
    for file in tests
  }
  wrong = offences(
    [m for m in _below(_PACKAGE) if not m.endswith(_NO_MODULES)],
    tests,
    table['covered_by'],
    table['further_tests'],
    reached,
  )
  assert not wrong, '\n'.join(wrong)


_MODULES = ('core/a.py', 'core/b.py')
_TESTS = ('core/a_test.py', 'core/c_test.py', 'parity/x_test.py', 'y_test.py')
_REACHED = {file: {'core/b.py'} for file in _TESTS}


@pytest.mark.parametrize(
  ('covered_by', 'further', 'message'),
  [
    ({'core/b.py': ['core/c_test.py']}, {'core/c_test.py': 'core/b.py'}, None),
    ({}, {'core/c_test.py': 'core/b.py'}, 'core/b.py has no tests/core/b_test'),
    (
      {'core/b.py': []},
      {'core/c_test.py': 'core/b.py'},
      'core/b.py has no tests/core/b_test',
    ),
    ({'core/b.py': ['core/c_test.py']}, {}, 'core/c_test.py is of no module'),
    (
      {'core/b.py': ['core/d_test.py']},
      {'core/c_test.py': 'core/b.py'},
      'there is no tests/core/d_test.py',
    ),
    (
      {'core/b.py': ['core/c_test.py'], 'core/d.py': ['core/c_test.py']},
      {'core/c_test.py': 'core/b.py'},
      'there is no module core/d.py',
    ),
    (
      {'core/b.py': ['core/c_test.py'], 'core/a.py': ['core/a_test.py']},
      {'core/c_test.py': 'core/b.py'},
      'core/a.py has tests/core/a_test.py now',
    ),
    (
      {'core/b.py': ['core/c_test.py']},
      {'core/c_test.py': 'core/a.py'},
      'core/c_test.py does not import core/a.py',
    ),
    (
      {'core/b.py': ['core/c_test.py']},
      {'core/c_test.py': 'core/b.py', 'core/a_test.py': 'core/b.py'},
      'core/a_test.py has a module of its own path',
    ),
  ],
)
def test_the_check_itself(covered_by, further, message):
  wrong = offences(_MODULES, _TESTS, covered_by, further, _REACHED)
  if message is None:
    assert wrong == []
  else:
    assert any(message in line for line in wrong), wrong


def test_what_is_imported():
  source = '''
import videopoet_jax.core.a
from videopoet_jax.core import b, c
def f():
  from videopoet_jax.data import d
_JOB = """
from videopoet_jax.jobs import e
"""
run(['-m', 'videopoet_jax.jobs.f'])
job_process.run('demo', '--out', out)
'''
  assert names_in(source) >= {
    f'videopoet_jax.{name}'
    for name in (
      'core.a',
      'core.b',
      'core.c',
      'data.d',
      'jobs.e',
      'jobs.f',
      'jobs.demo',
    )
  }
  edges = {'a': {'b'}, 'b': {'c', 'a'}, 'd': {'a'}}
  assert closure('a', edges) == {'a', 'b', 'c'}
