"""Mutates modules with Cosmic Ray and runs their own tests on each mutant.

  .cache/mutation/env/bin/python .ci/mutation/run.py [MODULE...]

Results are kept in `.cache/mutation`: a session a module, which a later call
continues as long as neither the module nor its tests change, and the
survivors of each as diffs.
"""

import argparse
import ast
from collections.abc import Iterator, Sequence
import contextlib
import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
from typing import Any

from cosmic_ray import commands
from cosmic_ray import config as config_lib
from cosmic_ray import mutating
from cosmic_ray import work_db
from cosmic_ray import work_item
from cosmic_ray.tools.filters import operators_filter

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_OUT = _ROOT / '.cache/mutation'
_CONFIG = pathlib.Path(__file__).with_name('config.toml')
_WARM = pathlib.Path(__file__).with_name('warm_tests.py')
# A mutant that loops for ever counts as killed after so many times what the
# tests take, and never before so many seconds.
_PATIENCE, _SHORTEST = 5, 30.0

Position = tuple[int, int]


def _copy_tree(tree: pathlib.Path) -> None:
  """A copy of the files that git knows or would add, to be mutated."""
  listed = subprocess.run(
    ['git', 'ls-files', '-co', '--exclude-standard', '-z'],
    cwd=_ROOT,
    capture_output=True,
    check=True,
  ).stdout.decode()
  shutil.rmtree(tree, ignore_errors=True)
  for name in filter(None, listed.split('\0')):
    source, target = _ROOT / name, tree / name
    if source.is_file():
      target.parent.mkdir(parents=True, exist_ok=True)
      shutil.copy2(source, target)


def _left_out(source: str, places: Sequence[str]) -> list[ast.AST]:
  """Nodes whose insides are not mutated.

  Args:
    source: source of a module.
    places: 'annotation' (types), 'decorator' (sizes of caches, what dataclasses
      are), 'raise' (what an error says), 'assert' (what cannot happen).
  """
  found: list[ast.AST | None] = []
  for node in ast.walk(ast.parse(source)):
    if 'annotation' in places:
      found += [getattr(node, name, None) for name in ('annotation', 'returns')]
    if 'decorator' in places:
      found += getattr(node, 'decorator_list', [])
    if 'raise' in places and isinstance(node, ast.Raise):
      found.append(node)
    if 'assert' in places and isinstance(node, ast.Assert):
      found.append(node)
  return [node for node in found if node is not None]


def _within(position: Position, node: Any) -> bool:
  start = (node.lineno, node.col_offset)
  return start <= position < (node.end_lineno, node.end_col_offset)


def _skip(database: work_db.WorkDB, module: pathlib.Path, places: list) -> None:
  """Marks as skipped what the configuration leaves out."""
  arguments = argparse.Namespace(config=str(_CONFIG))
  operators_filter.OperatorsFilter().filter(database, arguments)
  nodes = _left_out(module.read_text(), places)
  for item in database.pending_work_items:
    if any(_within(item.mutations[0].start_pos, node) for node in nodes):
      database.set_result(
        item.job_id,
        work_item.WorkResult(worker_outcome=work_item.WorkerOutcome.SKIPPED),
      )


@contextlib.contextmanager
def _warm(
  home: pathlib.Path, test: str, libraries: Sequence[str], seconds: float
) -> Iterator[str]:
  """Gives a command that runs a test file in a fork of a warm process."""
  pipes = [home / name for name in ('requests', 'answers')]
  for pipe in pipes:
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
  names = [str(pipe) for pipe in pipes]
  process = subprocess.Popen(
    [
      str(_ROOT / '.venv/bin/python'), str(_WARM), *names, str(seconds),
      ','.join(libraries), test,
    ],
    cwd=home / 'tree',
    env={**os.environ, 'PYTHONDONTWRITEBYTECODE': '1'},
  )  # fmt: skip
  # Held open, so that neither side sees an end between two mutants.
  held = [os.open(pipe, os.O_RDWR) for pipe in pipes]
  ask, tell = map(shlex.quote, names)
  script = f'echo go > {ask}; read -r status < {tell}; exit "$status"'
  try:
    yield f'bash -c {shlex.quote(script)}'
  finally:
    process.kill()
    process.wait()
    for pipe in held:
      os.close(pipe)


def _seconds_of(command: str, home: pathlib.Path) -> float:
  """What the tests take on the module as it is; they must pass."""
  start = time.monotonic()
  if subprocess.run(shlex.split(command), timeout=700).returncode:
    shown = (home / 'last_run.txt').read_text()
    sys.exit(f'{shown}\n{home.name}: its tests fail without a mutation.')
  return time.monotonic() - start


def _digest(*files: pathlib.Path) -> str:
  contents = b'\0'.join(file.read_bytes() for file in (*files, _CONFIG))
  return hashlib.sha256(contents).hexdigest()[:12]


def _is_begun(database: work_db.WorkDB) -> bool:
  """Whether any mutant was tested, which is after all skipping."""
  return any(
    result.worker_outcome != work_item.WorkerOutcome.SKIPPED
    for _, result in database.results
  )


def _mutate(module: str, settings: dict[str, Any]) -> str:
  """Runs the mutants of a module; returns its line of the table."""
  # Of its own, so that several modules can be mutated at a time.
  home = _OUT / module.replace('/', '-')
  home.mkdir(parents=True, exist_ok=True)
  tree = home / 'tree'
  _copy_tree(tree)
  source = tree / f'videopoet_jax/{module}.py'
  test = f'tests/{module}_test.py'
  session = home / f'{_digest(source, tree / test)}.sqlite'
  is_light, libraries = module in settings['light'], settings['libraries']
  libraries = libraries['light' if is_light else 'others'] + (
    libraries.get(module.split('/')[0], [])
  )
  with work_db.use_db(str(session)) as database:
    if not database.num_work_items:
      commands.init([source], database, {})
    if not _is_begun(database):
      _skip(database, source, settings['leave_out']['places'])
    if database.pending_work_items:
      with _warm(home, test, libraries, 600) as command:
        _seconds_of(command, home)  # Fills the caches of compilations.
        seconds = _seconds_of(command, home)
      patience = max(_SHORTEST, _PATIENCE * seconds)
      with _warm(home, test, libraries, patience) as command:
        for item in database.pending_work_items:
          result = mutating.mutate_and_test(
            item.mutations, command, patience + 60
          )
          database.set_result(item.job_id, result)
          print('.' if result.is_killed else 'S', end='', flush=True)
      print()
    killed = survived = 0
    diffs = []
    for _, result in database.results:
      if result.worker_outcome == work_item.WorkerOutcome.SKIPPED:
        continue
      if result.test_outcome == work_item.TestOutcome.SURVIVED:
        survived += 1
        diffs.append(result.diff)
      else:
        killed += 1
  (home / 'survivors.txt').write_text('\n\n'.join(diffs) + '\n')
  return f'{module:<44}{killed + survived:>8}{killed:>8}{survived:>10}'


def main(argv: Sequence[str]) -> None:
  """Runs the modules given, or all of the configuration."""
  settings = config_lib.toml.loads(_CONFIG.read_text())['mutants']
  modules = [name for text in argv for name in text.replace(',', ' ').split()]
  unknown = sorted(set(modules) - set(settings['modules']))
  if unknown:
    sys.exit(f'{", ".join(unknown)}: not among the modules of {_CONFIG}.')
  rows = []
  for module in modules or settings['modules']:
    rows.append(_mutate(module, settings))
    print(rows[-1], flush=True)
  print(f'\n{"module":<44}{"mutants":>8}{"killed":>8}{"survived":>10}')
  print('\n'.join(rows))
  print(f'Survivors are in {_OUT.relative_to(_ROOT)}/*/survivors.txt.')


if __name__ == '__main__':
  main(sys.argv[1:])
