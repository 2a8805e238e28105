"""Mutates modules with Cosmic Ray and runs their own tests on each mutant.

  .cache/mutation/env/bin/python .ci/mutation/run.py [OPTIONS] [MODULE...]

Results are kept in `.cache/mutation`: a session a module, which a later call
continues as long as neither the module nor its tests change, and the
survivors of each as diffs. `--sample` tests some of the mutants of a large
module, `--keep-killed` only those that survived before tests were added.
"""

import argparse
import ast
from collections.abc import Iterator, Sequence
import contextlib
import hashlib
import itertools
import os
import pathlib
import random
import shlex
import shutil
import sqlite3
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


def _skip(
  database: work_db.WorkDB,
  module: pathlib.Path,
  places: Sequence[str],
  sample: int | None,
) -> None:
  """Marks as skipped what the configuration or the sample leaves out.

  Args:
    database: the session, of which no mutant was tested yet.
    module: the source that is mutated.
    places: see `_left_out`; besides, 'marker' is the `*` before arguments that
      are given by keyword.
    sample: how many mutants to test, drawn with a fixed seed; None takes all.
  """
  arguments = argparse.Namespace(config=str(_CONFIG))
  operators_filter.OperatorsFilter().filter(database, arguments)
  text = module.read_text()
  nodes, lines = _left_out(text, places), text.splitlines()

  def is_left_out(item: work_item.WorkItem) -> bool:
    row, column = position = item.mutations[0].start_pos
    # Read as a product, and made a `/`.
    is_marker = lines[row - 1][column : column + 2] == '*,'
    return (is_marker and 'marker' in places) or any(
      _within(position, node) for node in nodes
    )

  pending = database.pending_work_items  # In a random order.
  kept = sorted(
    itertools.filterfalse(is_left_out, pending),
    key=lambda item: _place(item.mutations[0]),
  )
  if sample is not None and sample < len(kept):
    kept = random.Random(0).sample(kept, sample)
  for job in {item.job_id for item in pending} - {item.job_id for item in kept}:
    database.set_result(
      job, work_item.WorkResult(worker_outcome=work_item.WorkerOutcome.SKIPPED)
    )


def _place(mutation: work_item.MutationSpec) -> tuple[Any, ...]:
  return mutation.start_pos, mutation.operator_name, mutation.occurrence


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
  contents = b'\0'.join(file.read_bytes() for file in files)
  return hashlib.sha256(contents).hexdigest()[:12]


def _session(
  home: pathlib.Path,
  source: pathlib.Path,
  test: pathlib.Path,
  sample: int | None,
  keep_killed: bool,
) -> pathlib.Path:
  """The file of a module's results.

  Args:
    home: folder of the module's results.
    source: the module.
    test: its tests.
    sample: how many mutants are tested; None means all.
    keep_killed: a session that does not exist begins with the mutants that the
      newest session of the same module killed.
  """
  mutants = _digest(source, _CONFIG) + (f'-{sample}' if sample else '')
  session = home / f'{mutants}_{_digest(test)}.sqlite'
  earlier = sorted(
    home.glob(f'{mutants}_*.sqlite'), key=lambda file: file.stat().st_mtime
  )
  if keep_killed and earlier and not session.exists():
    shutil.copy(earlier[-1], session)
    with contextlib.closing(sqlite3.connect(session)) as results, results:
      results.execute(
        'DELETE FROM work_results WHERE test_outcome = ?',
        (work_item.TestOutcome.SURVIVED.name,),
      )
  return session


def _is_begun(database: work_db.WorkDB) -> bool:
  """Whether any mutant was tested, which is after all skipping."""
  return any(
    result.worker_outcome != work_item.WorkerOutcome.SKIPPED
    for _, result in database.results
  )


def _mutate(
  module: str, settings: dict[str, Any], sample: int | None, keep_killed: bool
) -> str:
  """Runs the mutants of a module; returns its line of the table."""
  # Of its own, so that several modules can be mutated at a time.
  home = _OUT / module.replace('/', '-')
  home.mkdir(parents=True, exist_ok=True)
  tree = home / 'tree'
  _copy_tree(tree)
  source = tree / f'videopoet_jax/{module}.py'
  test = f'tests/{module}_test.py'
  session = _session(home, source, tree / test, sample, keep_killed)
  is_light, libraries = module in settings['light'], settings['libraries']
  libraries = libraries['light' if is_light else 'others'] + (
    libraries.get(module.split('/')[0], [])
  )
  with work_db.use_db(str(session)) as database:
    if not database.num_work_items:
      commands.init([source], database, {})
    if not _is_begun(database):
      _skip(database, source, settings['leave_out']['places'], sample)
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
  parser = argparse.ArgumentParser()
  parser.add_argument(
    'modules', nargs='*', help='separated by commas or spaces'
  )
  parser.add_argument(
    '--sample', type=int, help='tests so many mutants of each module, not all'
  )
  parser.add_argument(
    '--keep-killed',
    action='store_true',
    help='after tests were added and none was weakened: tests the survivors of '
    'the last run alone',
  )
  options = parser.parse_args(argv)
  if options.sample is not None and options.sample < 1:
    parser.error(f'--sample is {options.sample}; it must be at least 1.')
  settings = config_lib.toml.loads(_CONFIG.read_text())['mutants']
  modules = ' '.join(options.modules).replace(',', ' ').split()
  unknown = sorted(set(modules) - set(settings['modules']))
  if unknown:
    sys.exit(f'{", ".join(unknown)}: not among the modules of {_CONFIG}.')
  rows = []
  for module in modules or settings['modules']:
    row = _mutate(module, settings, options.sample, options.keep_killed)
    rows.append(row)
    print(rows[-1], flush=True)
  print(f'\n{"module":<44}{"mutants":>8}{"killed":>8}{"survived":>10}')
  print('\n'.join(rows))
  print(f'Survivors are in {_OUT.relative_to(_ROOT)}/*/survivors.txt.')


if __name__ == '__main__':
  main(sys.argv[1:])
