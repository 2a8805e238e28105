"""Logical axes met with the mesh in use: what is split and what stays whole."""

import jax
import numpy as np

from videopoet_jax.parallel import manual
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules

P = jax.sharding.PartitionSpec


def _seen(function, sizes, of=rules.STANDARD):
  mesh = mesh_lib.create(mesh_lib.MeshConfig(**sizes))
  with mesh_lib.use(mesh, of):
    return function()


def test_a_dimension_that_is_not_divided_stays_whole():
  axes = ('activation_batch', 'activation_heads', None)

  def found():
    return manual.spec(axes, (8, 2, 3)), manual.spec(axes, (6, 3, 3))

  whole, part = _seen(found, {'data': 2, 'fsdp': 2, 'tensor': 2})
  assert whole == P(('data', 'fsdp'), ('tensor',), None)
  # Six examples are split by the first axis alone.
  assert part == P(('data',), None, None)


def test_parts_are_of_the_mesh_in_use():
  names = ('activation_batch', 'activation_length', 'activation_vocab')

  def found():
    return [manual.parts(name) for name in names]

  sizes = {'data': 2, 'sequence': 2, 'tensor': 2}
  assert _seen(found, sizes) == [2, 2, 4]
  assert found() == [1, 1, 1]
  own = (('activation_batch', 'tensor'),)
  assert _seen(found, sizes, own) == [2, 1, 1]


def test_the_platform_is_the_meshs_own():
  assert manual.platform() == 'cpu'
  assert _seen(manual.platform, {}) == 'cpu'


def test_a_function_of_parts_runs_on_every_device():
  array = np.arange(16.0).reshape(8, 2)

  def found():
    spec = manual.spec(('activation_batch', None), array.shape)
    return jax.jit(
      manual.on_each_device(
        lambda part: part - part.mean(0, keepdims=True), (spec,), spec
      )
    )(array)

  # Each device sees two rows only.
  out = np.asarray(_seen(found, {'data': 4, 'tensor': 2}))
  np.testing.assert_allclose(out, np.tile([[-1.0], [1.0]], (4, 2)))
  np.testing.assert_allclose(found(), array - array.mean(0))


def test_constraints_need_a_mesh_and_rules():
  array = np.ones((8, 2), np.float32)

  def found():
    constrained = jax.jit(
      lambda x: manual.constrain(2 * x, ('activation_batch', None))
    )(array)
    return constrained.sharding.shard_shape(array.shape)

  assert _seen(found, {'data': 4, 'tensor': 2}) == (2, 2)
  assert found() == (8, 2)
