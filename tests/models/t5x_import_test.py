"""Encoders in checkpoints of T5X, which the tests write as T5X does."""

import shutil

import chex
from flax import serialization
import jax
import ml_dtypes
import numpy as np
import pytest

from tests import fake_gcs
from tests.inference import t5_folder
from tests.models import t5x_files
from videopoet_jax.checkpoints import t5x
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.models import t5_encoder
from videopoet_jax.models import t5_import
from videopoet_jax.models import t5x_import

_LAYERS, _HEADS = 2, 2


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
  """T5X's arrays, and what the importer of the other naming makes of them."""
  state = t5_folder.write(tmp_path_factory.mktemp('t5') / 'released')
  config = t5_import.infer_config(state)
  return (
    t5x_files.target(state, _LAYERS),
    config,
    t5_import.convert(state, config),
  )


def _check_same(loaded, weights):
  _, expected_config, expected = weights
  config, params = loaded
  assert config == expected_config
  chex.assert_trees_all_equal(params, expected)
  assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype('float32')}


@pytest.mark.parametrize('old', [False, True])
def test_the_published_layout_without_its_decoder(weights, tmp_path, old):
  folder = tmp_path / 'checkpoint_1000000'
  t5x_files.write(folder, weights[0], old=old)
  decoder = list(folder.glob('target.decoder.*'))
  assert decoder
  for inner in decoder:
    shutil.rmtree(inner)
  loaded = t5x_import.load(folder)
  _check_same(loaded, weights)
  _check_same(t5x_import.load(folder / 'checkpoint'), weights)
  _check_same(t5x_import.load(storage.path(f'file://{folder}')), weights)
  ids = np.array([[5, 9, 7, 1, 0, 0], [3, 1, 0, 0, 0, 0]], np.int32)
  apply = t5_encoder.T5Encoder(loaded[0]).apply
  np.testing.assert_array_equal(
    apply({'params': loaded[1]}, ids), apply({'params': weights[2]}, ids)
  )


def test_arrays_in_the_file_itself(weights, tmp_path):
  small = tuple(n for n in weights[0] if n.endswith('scale'))
  t5x_files.write(tmp_path / 'some', weights[0], inside=small)
  assert not list((tmp_path / 'some').glob('*.scale'))
  _check_same(t5x_import.load(tmp_path / 'some'), weights)
  t5x_files.write(tmp_path / 'all', weights[0], inside=tuple(weights[0]))
  file = tmp_path / 'tiny.checkpoint_0'
  (tmp_path / 'all' / 'checkpoint').rename(file)
  _check_same(t5x_import.load(file), weights)


@pytest.mark.parametrize('ocdbt', [True, False])
def test_the_layout_of_orbax(weights, tmp_path, ocdbt):
  folder = tmp_path / 'checkpoint_7'
  t5x_files.write_orbax(folder, weights[0], ocdbt)
  assert (folder / 'state' / 'manifest.ocdbt').is_file() == ocdbt
  for inner in (folder / 'state').glob('target.decoder.*'):
    assert not ocdbt
    shutil.rmtree(inner)
  _check_same(t5x_import.load(folder), weights)
  _check_same(t5x_import.load(folder / 'state'), weights)
  if ocdbt:
    return
  # Earlier Orbax named the arrays in a msgpack file instead.
  (folder / 'state' / '_METADATA').unlink()
  leaves = {n: f'PLACEHOLDER://target.{n}' for n in weights[0]}
  (folder / 'state' / 'checkpoint').write_bytes(
    serialization.msgpack_serialize(t5x_files.nested(leaves))
  )
  _check_same(t5x_import.load(folder), weights)


@pytest.mark.parametrize('axis', [0, 1])
def test_layers_along_an_axis(weights, tmp_path, axis):
  arrays = t5x_files.stacked(weights[0], _LAYERS, _HEADS, axis)
  t5x_files.write(tmp_path / 'checkpoint_1', arrays)
  _check_same(t5x_import.load(tmp_path / 'checkpoint_1'), weights)
  table = arrays['encoder.encoder.relpos_bias.rel_embedding']
  table.swapaxes(0, axis)[1] += 1
  t5x_files.write(tmp_path / 'checkpoint_2', arrays)
  with pytest.raises(errors.CheckpointError, match='checkpoint_2: each layer'):
    t5x_import.load(tmp_path / 'checkpoint_2')


def test_bfloat16_is_read_as_float32(weights, tmp_path):
  arrays = {n: v.astype(ml_dtypes.bfloat16) for n, v in weights[0].items()}
  t5x_files.write(
    tmp_path / 'msgpack', arrays, inside=('encoder.encoder_norm.scale',)
  )
  t5x_files.write_orbax(tmp_path / 'orbax', arrays)
  rounded = jax.tree.map(
    lambda x: x.astype(ml_dtypes.bfloat16).astype(np.float32), weights[2]
  )
  for name in ('msgpack', 'orbax'):
    loaded = t5x_import.load(tmp_path / name)
    _check_same(loaded, (None, weights[1], rounded))


def test_a_missing_or_damaged_array_is_named(weights, tmp_path):
  name = 'target.encoder.layers_1.mlp.wo.kernel'
  folder = tmp_path / 'checkpoint_1'
  t5x_files.write(folder, weights[0])
  named = f'checkpoint_1: the array {name} cannot be read'
  content = (folder / name / '1.0').read_bytes()
  (folder / name / '1.0').write_bytes(content[:20])
  with pytest.raises(errors.CheckpointError, match=named):
    t5x_import.load(folder)
  # TensorStore by itself would read zeros.
  (folder / name / '1.0').unlink()
  with pytest.raises(errors.CheckpointError, match=f'{named}.*missing'):
    t5x_import.load(folder)
  (folder / name / '.zarray').unlink()
  with pytest.raises(errors.CheckpointError, match=named):
    t5x_import.load(folder)
  file = folder / 'checkpoint'
  file.write_bytes(file.read_bytes().replace(b'\xa4zarr', b'\xa4zorr'))
  with pytest.raises(errors.CheckpointError, match='the array .*zorr'):
    t5x_import.load(folder)
  (folder / 'checkpoint').write_bytes(b'model_checkpoint_path: "model.ckpt"')
  with pytest.raises(errors.CheckpointError, match='cannot be read as a T5X'):
    t5x_import.load(folder)
  numbers = {n: v.astype(np.uint16) for n, v in weights[0].items()}
  t5x_files.write(tmp_path / 'checkpoint_2', numbers)
  with pytest.raises(errors.CheckpointError, match='type is uint16'):
    t5x_import.load(tmp_path / 'checkpoint_2')
  t5x_files.write_orbax(tmp_path / 'checkpoint_3', weights[0])
  manifest = tmp_path / 'checkpoint_3' / 'state' / 'manifest.ocdbt'
  manifest.write_bytes(manifest.read_bytes()[:30])
  with pytest.raises(errors.CheckpointError, match='checkpoint_3 cannot be re'):
    t5x_import.load(tmp_path / 'checkpoint_3')


def test_other_models_are_refused(weights, tmp_path):
  arrays = dict(weights[0])
  kernel = arrays.pop('encoder.layers_1.attention.key.kernel')
  t5x_files.write(tmp_path / 'checkpoint_1', arrays)
  with pytest.raises(errors.CheckpointError) as raised:
    t5x_import.load(tmp_path / 'checkpoint_1')
  for part in ('checkpoint_1: ', 'target.encoder.layers_1.attention.key'):
    assert part in str(raised.value)
  arrays['encoder.layers_1.attention.key.kernel'] = kernel[:-1]
  with pytest.raises(errors.CheckpointError, match=r'\(15, 8\).*\(16, 8\)'):
    t5x_import.convert(arrays)
  first = {
    n.replace('wi_0', 'wi'): v for n, v in weights[0].items() if 'wi_1' not in n
  }
  with pytest.raises(
    errors.CheckpointError, match='first T5, whose MLP has no'
  ):
    t5x_import.encoder_names(first)
  t5x_files.write(tmp_path / 'checkpoint_2', {})
  with pytest.raises(errors.CheckpointError, match='holds no model'):
    t5x_import.load(tmp_path / 'checkpoint_2')
  with pytest.raises(errors.CheckpointError, match='the folder of one step'):
    t5x_import.load(tmp_path)
  assert t5x.is_checkpoint(tmp_path / 'checkpoint_1')
  assert not t5x.is_checkpoint(tmp_path)


_WORK = """
import json, pathlib, sys
import jax, numpy as np
from videopoet_jax.core import storage
from videopoet_jax.models import t5x_import

same = {}
for folder in map(pathlib.Path, sys.argv[1:]):
  there = storage.path(f'gs://bucket/t5/{folder.name}')
  storage.copy_folder(folder, there)
  found, expected = t5x_import.load(there), t5x_import.load(folder)
  jax.tree.map(np.testing.assert_array_equal, found[1], expected[1])
  same[folder.name] = found[0] == expected[0]
print('RESULT', json.dumps(same))
"""


@pytest.mark.slow
def test_a_checkpoint_in_a_bucket(weights, tmp_path):
  pytest.importorskip('gcsfs', reason='gcsfs is not installed (the gcs extra)')
  t5x_files.write(tmp_path / 'checkpoint_1', weights[0])
  t5x_files.write_orbax(tmp_path / 'checkpoint_2', weights[0])
  said, names = fake_gcs.run(_WORK, *map(str, tmp_path.iterdir()))
  assert said == {'checkpoint_1': True, 'checkpoint_2': True}
  assert 'bucket/t5/checkpoint_1/checkpoint' in names
