"""Where the parameters of 300M, 1B and 8B lie on named meshes, as golden files.

A change of a model, a rule or a layer shows here as a difference. To write the
files again after a change that was meant:

  python -m tests.planning.shardings_test
"""

import json
import pathlib

import pytest

from videopoet_jax.core import tasks
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.planning import shardings

_GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
_MODELS = ('300m', '1b', '8b')
_MESHES = {
  '64 chips, fsdp=64': {'fsdp': 64},
  '64 chips, data=4 fsdp=16': {'data': 4, 'fsdp': 16},
  '64 chips, fsdp=16 tensor=4': {'fsdp': 16, 'tensor': 4},
  '256 chips, fsdp=256': {'fsdp': 256},
  '2 slices of 64 chips, data=2 fsdp=64': {'data': 2, 'fsdp': 64},
  '8 chips, fsdp=4 sequence=2': {'fsdp': 4, 'sequence': 2},
}


def _path(model):
  return _GOLDEN / f'shardings_{model}.json'


def _tables(model):
  config = presets.preset(model)
  tables = {}
  for name, sizes in _MESHES.items():
    found = shardings.table(config, tasks.LayoutSpace(), sizes)
    tables[name] = {
      'total': f'{sum(size for _, size in found.values())} bytes a chip'
    } | {path: f'{spec} {size}' for path, (spec, size) in found.items()}
  return tables


@pytest.mark.parametrize('model', _MODELS)
def test_shardings_are_the_golden_ones(model):
  assert _tables(model) == json.loads(_path(model).read_text())


@pytest.mark.parametrize('name', _MESHES)
def test_no_large_parameter_is_whole_on_every_chip(name):
  sizes = _MESHES[name]
  split = sizes.get('fsdp', 1) * sizes.get('tensor', 1)
  config = presets.preset('8b')
  found = shardings.table(config, tasks.LayoutSpace(), sizes)
  whole = shardings.table(config, tasks.LayoutSpace(), {})
  for path, (_, size) in found.items():
    if whole[path][1] > 1e8:
      assert size * split <= whole[path][1], path


def _write():
  for model in _MODELS:
    text = json.dumps(_tables(model), indent=1)
    _path(model).write_text(text + '\n')


if __name__ == '__main__':
  _write()
