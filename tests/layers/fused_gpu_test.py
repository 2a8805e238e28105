"""The call that cuDNN gets, run by XLA, against the reference; refusals.

Tolerance 1e-5 in float32, values and gradients.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.layers import attention
from videopoet_jax.layers import fused_gpu
from videopoet_jax.layers import masks
from videopoet_jax.parallel import manual
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules


def _problem(length, heads=4, kv_heads=2, batch=4):
  generator = np.random.default_rng(0)
  query = generator.normal(size=(batch, heads, length, 8))
  key, value = generator.normal(size=(2, batch, kv_heads, length, 8))
  visible_BS = np.ones((batch, length), bool)
  visible_BS[0, 2:5] = False
  arrays = [jnp.asarray(x, jnp.float32) for x in (query, key, value)]
  return arrays, jnp.asarray(visible_BS)


def _value_and_grads(function, arrays):
  def total(*arrays):
    out = function(*arrays)
    return jnp.sum(jnp.sin(out)), out

  both = jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)
  (_, out), grads = jax.jit(both)(*arrays)
  return [np.asarray(x) for x in (out, *grads)]


@pytest.mark.parametrize('length', [16, 17])
@pytest.mark.parametrize(
  'sizes',
  [
    None,
    {'data': 2, 'fsdp': 2, 'tensor': 2},
    {'data': 2, 'sequence': 2, 'tensor': 2},
    {'data': 1, 'fsdp': 2, 'tensor': 4},
  ],
)
def test_equals_the_reference(length, sizes):
  arrays, visible_BS = _problem(length)
  mask = masks.PrefixMask(6)
  expected = _value_and_grads(
    lambda *x: attention.attend(*x, mask, visible_BS, implementation='xla'),
    arrays,
  )

  def ours(*x):
    return fused_gpu.attend(*x, mask, visible_BS, implementation='xla')

  if sizes is None:
    found = _value_and_grads(ours, arrays)
  else:
    mesh = mesh_lib.create(mesh_lib.MeshConfig(**sizes))
    with mesh_lib.use(mesh, rules.STANDARD):
      found = _value_and_grads(ours, arrays)
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_without_a_gpu_one_error_says_what_to_do():
  arrays, visible_BS = _problem(16)
  with pytest.raises(errors.ConfigError, match="'cudnn'.*'cpu'.*'auto'"):
    attention.attend(
      *arrays, masks.PrefixMask(2), visible_BS, implementation='cudnn'
    )


@pytest.mark.parametrize(
  ('dtype', 'head_dim', 'message'),
  [
    (jnp.float32, 64, "dtype is 'float32'.*'bfloat16'"),
    (jnp.bfloat16, 20, 'head_dim is 20'),
    (jnp.bfloat16, 64, ''),
  ],
)
def test_what_cudnn_does_not_take(monkeypatch, dtype, head_dim, message):
  monkeypatch.setattr(manual, 'platform', lambda: 'gpu')
  query = jax.ShapeDtypeStruct((1, 2, 256, head_dim), dtype)
  reason = fused_gpu.why_not(query)
  chosen = attention.choose('auto', query, 256, masks.PrefixMask(2), False)
  if message:
    assert re.search(message, reason)
    assert chosen == 'xla'
  else:
    assert not reason
    assert chosen == 'cudnn'
