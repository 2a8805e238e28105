"""Tests that types are checked, and that interfaces are declared."""

import ast
import pathlib
import re
import tomllib

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PACKAGE = _ROOT / 'videopoet_jax'

# Rooms where mypy may leave out as many checks as this, for a reason.
_GRADUAL = ('layers', 'models', 'tokenizers', 'inference', 'jobs')
_MOST = 2

# Files that ask objects what they have, and why a protocol cannot say it.
_PROBES = {
  '__init__.py': 'the Python API is imported when it is used',
  'data/__init__.py': '`register` needs TensorFlow, which others do without',
  'checkpoints/contents.py': "Orbax's metadata differ between its versions",
  'checkpoints/tree.py': "Orbax's metadata differ between its versions",
  'core/bindings.py': 'modules',
  'core/gin_state.py': "gin's globals differ between its versions",
  'core/storage.py': "the standard library's status of a file, or etils'",
  'core/value_types.py': 'types as Python writes them down',
  'data/registry.py': "gin's statements; functions of a user's module",
  'evaluation/networks/clip.py': 'outputs of Transformers',
  'experiments/train.py': "gin's references",
  'media/containers.py': 'exceptions of PyAV',
  'media/pictures.py': 'pictures of Pillow',
  'models/t5_import.py': 'tensors of PyTorch, which need not be there',
  'parallel/mesh.py': 'devices of JAX, which differ between platforms',
  'planning/network.py': 'devices of JAX, which differ between platforms',
}


def _left_out(text: str) -> list[str]:
  """What is wrong with the checks that settings of mypy leave out."""
  settings = tomllib.loads(text)['tool']['mypy']
  found = []
  for key in ('disable_error_code', 'ignore_errors', 'exclude'):
    if key in settings:
      found.append(f'{key} for all rooms')
  # A table in TOML, with the comment that stands right above it.
  tables = re.findall(
    r'((?:^#.*\n)*)^\[\[tool\.mypy\.overrides\]\]\n', text, re.MULTILINE
  )
  for table, comment in zip(settings['overrides'], tables, strict=True):
    codes = table.get('disable_error_code', [])
    if table.get('ignore_errors'):
      found.append(f'ignore_errors for {table["module"]}')
    if not codes:
      continue
    if not comment.strip('# \n'):
      found.append(f'no comment says why {codes} are disabled')
    if len(codes) > _MOST:
      found.append(f'{len(codes)} codes, more than {_MOST}')
    modules = table['module']
    for module in [modules] if isinstance(modules, str) else modules:
      if module.split('.')[1] not in _GRADUAL:
        found.append(f'{module} has {codes} disabled')
  return found


def _probes(source: str) -> list[int]:
  """Lines that ask whether something has an attribute, or make attributes up.

  Those are `hasattr`, `getattr` with a default, and methods `__getattr__`.
  """
  lines = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.FunctionDef) and node.name == '__getattr__':
      lines.append(node.lineno)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
      asks = node.func.id == 'getattr' and len(node.args) > 2
      if node.func.id == 'hasattr' or asks:
        lines.append(node.lineno)
  return sorted(lines)


def test_few_rooms_leave_out_checks_and_say_why():
  assert not _left_out((_ROOT / 'pyproject.toml').read_text())


@pytest.mark.parametrize(
  ('override', 'fault'),
  [
    (
      '[[tool.mypy.overrides]]\nmodule = "videopoet_jax.layers.*"\n'
      'disable_error_code = ["misc"]',
      'no comment',
    ),
    (
      '# Why.\n[[tool.mypy.overrides]]\nmodule = ["videopoet_jax.layers.*"]\n'
      'disable_error_code = ["misc", "index", "operator"]',
      '3 codes',
    ),
    (
      '# Why.\n[[tool.mypy.overrides]]\n'
      'module = ["videopoet_jax.models.*", "videopoet_jax.training.loop"]\n'
      'disable_error_code = ["misc"]',
      'videopoet_jax.training.loop has',
    ),
  ],
)
def test_what_may_not_be_left_out(override, fault):
  found = _left_out(f'[tool.mypy]\nstrict = false\n{override}\n')
  assert [fault in line for line in found] == [True]


def test_interfaces_are_declared():
  found = {}
  for path in sorted(_PACKAGE.rglob('*.py')):
    lines = _probes(path.read_text(encoding='utf-8'))
    if lines:
      found[path.relative_to(_PACKAGE).as_posix()] = lines
  odd = {name: found[name] for name in found if name not in _PROBES}
  assert not odd, f'{odd}: declare a Protocol and ask with isinstance'
  assert set(_PROBES) <= set(found), 'list no file without probes'


def test_probes_are_found():
  source = (
    'class A:\n  def __getattr__(self, name):\n    return hasattr(self, name)\n'
    'getattr(A(), "b")\ngetattr(A(), "b", None)\n'
  )
  assert _probes(source) == [2, 3, 5]
