"""Meshes from a config, and what a wrong one says."""

from flax import linen as nn
import jax
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules
from videopoet_jax.parallel import start


def test_the_rest_goes_to_one_axis():
  config = mesh_lib.MeshConfig(data=-1, fsdp=2, tensor=2)
  assert mesh_lib.sizes(config, 8) == (2, 2, 1, 2)
  assert mesh_lib.sizes(mesh_lib.MeshConfig(), 1) == (1, 1, 1, 1)
  mesh = mesh_lib.create(config)
  assert mesh.shape == {'data': 2, 'fsdp': 2, 'sequence': 1, 'tensor': 2}
  assert 'data 2 x fsdp 2' in mesh_lib.describe(mesh)


@pytest.mark.parametrize(
  ('sizes', 'message'),
  [
    ({'data': 3}, r'asks for 3 devices and there are 8.*data=8'),
    ({'data': -1, 'tensor': 3}, r'multiple of 3.*data=8.*tensor=1'),
    ({'data': 1, 'tensor': 4}, r'4 devices and there are 8.*data=2.*tensor=4'),
    ({'data': -1, 'fsdp': -1}, 'at most one -1'),
    ({'data': 0}, 'must be positive'),
    ({'data': -1, 'slices': 3}, 'no multiple of the 3 slices'),
  ],
)
def test_a_mesh_that_does_not_fit_says_what_would(sizes, message):
  with pytest.raises(errors.MeshError, match=message):
    mesh_lib.create(mesh_lib.MeshConfig(**sizes))


def test_a_subset_of_devices():
  mesh = mesh_lib.create(mesh_lib.MeshConfig(), jax.devices()[:2])
  assert mesh.size == 2


def _boxed(shape, names):
  return nn.LogicallyPartitioned(jax.ShapeDtypeStruct(shape, np.float32), names)


def test_parameters_follow_the_rules_where_they_divide():
  mesh = mesh_lib.create(mesh_lib.MeshConfig(data=2, fsdp=2, tensor=2))
  boxed = {
    'query': _boxed((6, 16, 4, 8), ('layers', 'embed', 'heads', 'head_dim')),
    'odd': _boxed((7, 4), ('embed', 'mlp')),
    'plain': jax.ShapeDtypeStruct((3,), np.float32),
  }
  found = rules.shardings(boxed, mesh, rules.STANDARD)
  partition = jax.sharding.PartitionSpec
  assert found['query'].spec == partition(None, 'fsdp', 'tensor', None)
  assert found['odd'].spec == partition(None, 'tensor')
  assert found['plain'].is_fully_replicated
  axes = rules.logical_axes(boxed)
  assert tuple(axes['query']) == ('layers', 'embed', 'heads', 'head_dim')
  assert tuple(axes['plain']) == (None,)


def test_rules_are_data():
  mesh = mesh_lib.create(mesh_lib.MeshConfig(data=1, fsdp=8))
  own = (('embed', None), ('mlp', 'fsdp'))
  found = rules.shardings(_boxed((8, 16), ('embed', 'mlp')), mesh, own)
  assert found.spec == jax.sharding.PartitionSpec(None, 'fsdp')


def test_batches_are_split_over_data_and_fsdp():
  mesh = mesh_lib.create(mesh_lib.MeshConfig(data=2, fsdp=2, tensor=2))
  array = jax.device_put(np.zeros((8, 3)), rules.batch_sharding(mesh))
  assert array.addressable_shards[0].data.shape == (2, 3)
  rules.check_batch(8, mesh)
  with pytest.raises(errors.MeshError, match='6 examples.*multiple of 4'):
    rules.check_batch(6, mesh)


def test_layers_constraints_mean_the_mesh_in_use():
  mesh = mesh_lib.create(mesh_lib.MeshConfig(data=4, tensor=2))

  def function(x):
    return nn.with_logical_constraint(
      2 * x, ('activation_batch', 'activation_mlp')
    )

  with mesh_lib.use(mesh, rules.STANDARD):
    out = jax.jit(function)(np.ones((8, 6), np.float32))
  assert out.sharding.shard_shape(out.shape) == (2, 3)
  assert jax.jit(function)(np.ones((8, 6), np.float32)).shape == (8, 6)


def test_hosts_are_read_from_the_environment():
  assert start.from_environment({}) == start.HostConfig()
  whole = {
    'COORDINATOR_ADDRESS': 'a:1', 'NUM_PROCESSES': '2', 'PROCESS_ID': '1'
  }  # fmt: skip
  assert start.from_environment(whole) == start.HostConfig('a:1', 2, 1)
  for wrong in (
    {'NUM_PROCESSES': '2'},
    {**whole, 'PROCESS_ID': 'one'},
  ):
    with pytest.raises(errors.ConfigError, match='NUM_PROCESSES'):
      start.from_environment(wrong)
  with pytest.raises(errors.ConfigError, match='counted from 0'):
    start.initialize(start.HostConfig('a:1', 2, 2))
