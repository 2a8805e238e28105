"""Remat policies change what is kept for the backward pass, and no number."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.layers import attention
from videopoet_jax.layers import masks
from videopoet_jax.layers import transformer
from videopoet_jax.parallel import rules
from videopoet_jax.training import prefix_lm

_CONFIG = transformer.BlockConfig(2, 1, 4, 12, num_layers=1)
_LENGTH, _WIDTH = 6, 8


def _loss(policy):
  stack = transformer.Stack(_CONFIG, scan=True, remat=policy)
  context = attention.Context(masks.PrefixMask(3), jnp.ones((2, _LENGTH), bool))
  generator = np.random.default_rng(0)
  inputs_BLD = jnp.asarray(
    generator.normal(size=(2, _LENGTH, _WIDTH)), jnp.float32
  )
  shapes = jax.eval_shape(
    lambda key: stack.init(key, inputs_BLD, context)['params'],
    jax.random.key(0),
  )
  params = jax.tree.map(
    lambda x: jnp.asarray(generator.normal(size=x.shape), jnp.float32),
    rules.unbox(shapes),
  )

  def loss(params, inputs_BLD):
    out_BLD, _ = stack.apply({'params': params}, inputs_BLD, context)
    return jnp.sum(jnp.sin(out_BLD))

  return loss, (params, inputs_BLD)


@pytest.fixture(name='wanted', scope='module')
def _wanted():
  loss, arrays = _loss('none')
  return jax.jit(jax.grad(loss, argnums=(0, 1)))(*arrays)


@pytest.mark.parametrize(
  'policy', [p for p in transformer.REMAT_POLICIES if p != 'none']
)
def test_gradients_are_equal(policy, wanted):
  loss, arrays = _loss(policy)
  found = jax.jit(jax.grad(loss, argnums=(0, 1)))(*arrays)
  chex.assert_trees_all_close(found, wanted, rtol=1e-5, atol=1e-5)


def _products(policy):
  loss, arrays = _loss(policy)
  program = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(*arrays)
  return str(program).count('dot_general')


def test_policies_recompute_what_their_names_say():
  none = _products('none')
  recomputed = {
    policy: _products(policy) - none for policy in transformer.REMAT_POLICIES
  }
  # A block has nine products: three projections, two of attention, one out,
  # three of the MLP; what only gives the block's result is not computed again.
  assert recomputed == {
    'none': 0,
    'full': 8,
    'save_attention': 7,
    'save_qkv': 4,
    'save_all_but_mlp': 3,
    'minimal': 1,
    'dots': 0,
    'dots_no_batch': 2,
  }


def test_an_unknown_policy_is_refused():
  with pytest.raises(errors.ConfigError, match="did you mean 'minimal'"):
    transformer.remat_policy('minimum')


def test_bfloat16_computes_and_float32_keeps():
  config = small.config(
    dtype='bfloat16', cell_inputs=(), remat='full', loss_chunk=4
  )
  name = f'text_to_video/{small.SIZE}'
  trainable = prefix_lm.PrefixLMTrainable(config, small.SPACE, (name,))
  layout = trainable.layouts[name]
  params = rules.unbox(jax.eval_shape(trainable.init, jax.random.key(0)))
  batch = {
    'tokens': jax.ShapeDtypeStruct((2, layout.length), jnp.int32),
    'visible': jax.ShapeDtypeStruct((2, layout.length), bool),
  }

  def gradients(params, batch):
    function = jax.value_and_grad(trainable.loss, has_aux=True)
    return function(params, batch, None, None, name)

  (loss, _), grads = jax.eval_shape(gradients, params, batch)
  assert loss.dtype == jnp.float32
  assert {x.dtype for x in jax.tree.leaves((params, grads))} == {
    jnp.dtype('float32')
  }
  hidden = jax.eval_shape(
    lambda params, batch: trainable.module.apply(
      {'params': params},
      batch['tokens'],
      batch['visible'],
      layout,
      method='hidden',
    ),
    params,
    batch,
  )
  assert hidden.dtype == jnp.bfloat16
