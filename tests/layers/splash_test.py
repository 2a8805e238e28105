"""Splash, interpreted on a CPU, against the reference; which blocks it runs.

Tolerance 1e-5 in float32, values and gradients: both sum in another order.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import kernel_blocks
from videopoet_jax.core import tasks
from videopoet_jax.layers import attention
from videopoet_jax.layers import masks
from videopoet_jax.layers import splash
from videopoet_jax.parallel import manual
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules

_SMALL = kernel_blocks.Blocks(128, 128)


def _problem(length, heads, kv_heads, batch=2, head_dim=8):
  generator = np.random.default_rng(0)

  def normal(number):
    shape = (batch, number, length, head_dim)
    return jnp.asarray(generator.normal(size=shape), jnp.float32)

  arrays = normal(heads), normal(kv_heads), normal(kv_heads)
  visible_BS = np.ones((batch, length), bool)
  # Unused text slots of one example, a whole dropped condition of another.
  visible_BS[0, 5:9] = False
  visible_BS[1, 1:40] = False
  return arrays, jnp.asarray(visible_BS), normal(heads)


def _value_and_grads(function, arrays, weights):
  def total(*arrays):
    out = function(*arrays)
    return jnp.sum(out * weights), out

  both = jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)
  (_, out), grads = jax.jit(both)(*arrays)
  return [np.asarray(x) for x in (out, *grads)]


def _assert_equal_to_the_reference(
  prefix_length, arrays, visible_BS, weights, blocks=None, mesh=None
):
  mask = masks.PrefixMask(prefix_length)
  expected = _value_and_grads(
    lambda *x: attention.attend(*x, mask, visible_BS, implementation='xla'),
    arrays,
    weights,
  )

  def ours(*x):
    if blocks is not None:
      return splash.attend(*x, mask, visible_BS, blocks=blocks)
    return attention.attend(*x, mask, visible_BS, implementation='splash')

  if mesh is None:
    found = _value_and_grads(ours, arrays, weights)
  else:
    with mesh_lib.use(mesh_lib.create(mesh), rules.STANDARD):
      found = _value_and_grads(ours, arrays, weights)
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
  ('length', 'prefix_length', 'blocks'),
  [
    (130, 1, None),  # Causal but for <bos>; not a multiple of the block.
    (300, 140, _SMALL),  # A prefix that ends within a block.
    (256, 128, kernel_blocks.Blocks(128, 256)),  # On its edge.
    (150, 2**30, None),  # Bidirectional.
    (518, 71, None),  # A portrait image of the paper: one block of 640.
  ],
)
def test_equals_the_reference(length, prefix_length, blocks):
  if length == 518:
    assert kernel_blocks.choose(length, prefix_length) == (640, 640)
  problem = _problem(length, 4, 2)
  _assert_equal_to_the_reference(prefix_length, *problem, blocks)


@pytest.mark.parametrize(
  'sizes',
  [
    {'data': 2, 'fsdp': 2, 'tensor': 2},
    # More devices than key heads, and than queries' examples.
    {'data': 1, 'fsdp': 2, 'tensor': 4},
    # Queries over the mesh, keys whole.
    {'data': 2, 'sequence': 2, 'tensor': 2},
  ],
)
def test_equals_the_reference_on_a_mesh(sizes):
  problem = _problem(270, 4, 2, batch=4)
  _assert_equal_to_the_reference(
    140, *problem, _SMALL, mesh_lib.MeshConfig(**sizes)
  )


def test_an_axis_that_does_not_divide_stays_whole():
  problem = _problem(130, 3, 1)
  _assert_equal_to_the_reference(
    20, *problem, None, mesh_lib.MeshConfig(data=4, tensor=2)
  )


def test_blocks_that_the_mask_empties_are_not_run():
  length, blocks = 1000, kernel_blocks.Blocks(256, 128)
  for prefix_length in (1, 300, 1000):
    dense = np.asarray(masks.PrefixMask(prefix_length).dense(1024, 1024))
    dense = dense.reshape(4, 256, 8, 128)
    np.testing.assert_array_equal(
      kernel_blocks.run(length, prefix_length, blocks), dense.any((1, 3))
    )


def test_the_kernel_is_told_of_those_blocks():
  kernel = splash._kernel(
    2, (1024, 1024), 300, kernel_blocks.Blocks(256, 128), 1, True
  )
  run = kernel_blocks.run(1024, 300, kernel_blocks.Blocks(256, 128))
  # The kernel's list is as wide as its fullest row.
  told = np.asarray(kernel.fwd_mask_info.block_mask)[0] > 0
  np.testing.assert_array_equal(told.sum(1), run.sum(1))
  assert told.sum() < run.size


def test_blocks_are_chosen_for_every_layout_of_the_paper():
  space = tasks.LayoutSpace()
  names = space.standard_names(17, 128, 128)
  names += space.standard_names(41, 224, 128)
  for layout in space.layouts(names):
    length = layout.input_length
    blocks = kernel_blocks.choose(length, layout.prefix_length)
    assert not any(size % 128 for size in blocks)
    assert blocks.keys % blocks.computed_keys == 0
    padded = max(-(-length // size) * size for size in blocks)
    # Padding costs less than blocks of 128 would.
    assert padded < length + 1024
    run = kernel_blocks.run(length, layout.prefix_length, blocks).sum()
    tiny = kernel_blocks.run(length, layout.prefix_length, _SMALL).sum()
    assert run <= tiny


def test_sequence_parts_pad_to_whole_blocks():
  blocks = kernel_blocks.choose(1287, 10, 4)
  assert blocks.queries <= 512


def test_a_gpu_is_refused(monkeypatch):
  monkeypatch.setattr(manual, 'platform', lambda: 'gpu')
  arrays, visible_BS, _ = _problem(130, 2, 2)
  with pytest.raises(errors.ConfigError, match="'splash'.*'gpu'.*'auto'"):
    splash.attend(*arrays, masks.PrefixMask(2), visible_BS)
