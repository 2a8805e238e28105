"""The gated feed-forward layer equals its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.layers import mlp
from videopoet_jax.parallel import rules

_INPUTS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)


def _params(layer):
  shapes = jax.eval_shape(layer.init, jax.random.key(0), _INPUTS)
  draw = np.random.default_rng(1)
  return jax.tree.map(
    lambda leaf: draw.normal(size=leaf.shape).astype(np.float32),
    rules.unbox(shapes['params']),
  )


@pytest.mark.parametrize(
  ('name', 'activation'),
  [
    ('silu', lambda x: x / (1 + np.exp(-x))),
    ('relu', lambda x: np.maximum(x, 0)),
    (
      'gelu',
      lambda x: x / 2 * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))),
    ),
  ],
)
def test_the_gate_is_activated_and_the_rest_is_not(name, activation):
  layer = mlp.GatedMLP(5, name)
  params = _params(layer)
  assert {k: v.shape for k, v in params.items()} == {
    'gate': (4, 5), 'up': (4, 5), 'down': (5, 4),
  }  # fmt: skip
  hidden = activation(_INPUTS @ params['gate']) * (_INPUTS @ params['up'])
  np.testing.assert_allclose(
    layer.apply({'params': params}, _INPUTS),
    hidden @ params['down'],
    rtol=1e-4,
    atol=1e-4,
  )


def test_types_of_results_and_of_kernels():
  layer = mlp.GatedMLP(5, dtype=jnp.bfloat16)
  variables = jax.eval_shape(layer.init, jax.random.key(0), _INPUTS)
  assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  found = jax.eval_shape(
    layer.apply, variables, jnp.asarray(_INPUTS, jnp.bfloat16)
  )
  assert found.dtype == jnp.bfloat16 and found.shape == _INPUTS.shape


def test_the_output_scale_is_the_variance_of_the_last_kernel():
  inputs = jnp.zeros((1, 1, 64))

  def spreads(scale):
    layer = mlp.GatedMLP(64, output_scale=scale)
    params = rules.unbox(layer.init(jax.random.key(0), inputs)['params'])
    return {name: float(np.std(kernel)) for name, kernel in params.items()}

  whole, quarter = spreads(1.0), spreads(0.25)

  assert quarter['down'] == pytest.approx(whole['down'] / 2, rel=0.01)
  assert whole['down'] == pytest.approx(1 / 8, rel=0.05)
  assert quarter['up'] == pytest.approx(1 / 8, rel=0.05)
