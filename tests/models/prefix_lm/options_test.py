"""The choices of a model: what each does, and what goes with what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.core import tasks
from videopoet_jax.core import types
from videopoet_jax.layers import attention
from videopoet_jax.layers import masks
from videopoet_jax.layers import place_bias
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import model as model_lib
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.parallel import rules
from videopoet_jax.training import prefix_lm

_LAYOUT = f'image_to_video/{small.SIZE}'


def _loss(config, params=None, seed=0):
  trainable = prefix_lm.PrefixLMTrainable(config, small.SPACE, (_LAYOUT,))
  if params is None:
    _, params = small.build(config)
  layout = trainable.layouts[_LAYOUT]
  batch = {
    'tokens': jnp.asarray(small.tokens(layout, 2, seed)),
    'visible': jnp.ones((2, layout.length), bool),
  }
  function = jax.jit(
    lambda params: trainable.loss(params, batch, None, None, _LAYOUT)
  )
  return function(params)


@pytest.mark.parametrize('base', ['300m', '1b', '8b'])
def test_ul2_has_t5s_positions_a_silu_gate_and_no_norm_of_queries(base):
  ul2, plain = presets.preset(f'{base}_ul2'), presets.preset(base)
  assert (ul2.positions, ul2.activation, ul2.qk_norm) == (
    't5_buckets',
    'silu',
    False,
  )
  assert (ul2.num_layers, ul2.width) == (plain.num_layers, plain.width)
  space = tasks.LayoutSpace()
  model = model_lib.PrefixLM(ul2, space.vocabulary)
  shapes = jax.eval_shape(
    lambda key: model.init(key, method='declare'), jax.random.key(0)
  )['params']
  # Buckets of every axis for each head, shared by all layers, and no
  # coordinates of positions: two roles of each modality and the identities of
  # features are what is left of the table.
  bias = rules.unbox(shapes['relative_bias']['table'])
  assert bias.shape == (place_bias.table_rows()[1], ul2.num_heads)
  place = rules.unbox(shapes['place']['table'])
  rows = 2 * len(types.Modality) + ul2.place_limits.features
  assert place.shape == (rows, ul2.width)


def test_one_full_table_of_the_largest_has_1_2_billion():
  space = tasks.LayoutSpace()
  config = presets.preset('8b')
  model = model_lib.PrefixLM(config, space.vocabulary)
  shapes = jax.eval_shape(
    lambda key: model.init(key, method='declare'), jax.random.key(0)
  )['params']
  tables = rules.unbox(shapes['heads'])
  number = sum(x.size for x in jax.tree.leaves(tables))
  assert 1.15e9 < number < 1.3e9


@pytest.mark.parametrize('positions', config_lib.POSITIONS)
def test_every_kind_of_positions_tells_places_apart(positions):
  config = small.config(positions=positions, cell_inputs=())
  model, params = small.build(config)
  layout = small.SPACE.layout(_LAYOUT)
  tokens_BL = small.tokens(layout, 1)
  visible_BL = np.ones(tokens_BL.shape, bool)
  swapped = tokens_BL.copy()
  first, second = layout.prefix_length, layout.prefix_length + 1
  start = layout.vocabulary.ranges['visual'].start
  tokens_BL[0, [first, second]] = start, start + 1
  swapped[0, [first, second]] = start + 1, start

  def last(tokens_BL):
    hidden = model.apply(
      {'params': params}, tokens_BL, visible_BL, layout, method='hidden'
    )
    return np.asarray(hidden)[0, -1]

  assert np.abs(last(tokens_BL) - last(swapped)).max() > 1e-4


def test_qk_norm_frees_attention_of_the_scale_of_its_projections():
  context = attention.Context(masks.PrefixMask(2), jnp.ones((1, 5), bool))
  inputs_BLD = jax.random.normal(jax.random.key(0), (1, 5, 6))
  for qk_norm in (True, False):
    layer = attention.Attention(2, 2, 4, qk_norm=qk_norm)
    params = rules.unbox(layer.init(jax.random.key(1), inputs_BLD, context))
    larger = {'params': dict(params['params'])}
    larger['params']['query'] = 50.0 * params['params']['query']
    one, _ = layer.apply(params, inputs_BLD, context)
    other, _ = layer.apply(larger, inputs_BLD, context)
    assert np.allclose(one, other, atol=1e-4) == qk_norm


def test_z_loss_adds_the_square_of_the_denominators_logarithm():
  changes = {'cell_inputs': (), 'loss_vocabulary': 'segment'}
  changes |= {'visual_output': 'softmax'}
  without, _ = _loss(small.config(z_loss=0.0, **changes))
  total, metrics = _loss(small.config(z_loss=0.1, **changes))
  np.testing.assert_allclose(metrics['loss'], without, rtol=1e-6)
  config = small.config(**changes)
  model, params = small.build(config)
  layout = small.SPACE.layout(_LAYOUT)
  (result,) = model.apply(
    {'params': params},
    small.tokens(layout, 2),
    np.ones((2, layout.length), bool),
    layout,
  ).values()
  z_loss = 0.1 * np.mean(np.square(result.log_z_BT))
  np.testing.assert_allclose(total - without, z_loss, rtol=1e-4)


def test_a_soft_cap_bounds_the_loss():
  changes = {'cell_inputs': (), 'visual_output': 'softmax', 'z_loss': 0.0}
  _, params = small.build(small.config(**changes))
  params['heads'] = jax.tree.map(lambda x: x * 100.0, params['heads'])
  free, _ = _loss(small.config(**changes), params)
  capped, _ = _loss(small.config(soft_cap=2.0, **changes), params)
  # Logits within 2 of 0 leave at most 4 between the label and the others.
  assert capped < 4.0 + np.log(64) < free


def test_fused_attention_and_a_relative_bias_are_refused():
  for name in attention.FUSED:
    with pytest.raises(
      errors.ConfigError, match=f"attention is '{name}'.*bias"
    ):
      config_lib.PrefixLMConfig(positions='t5_buckets', attention=name)
    with pytest.raises(errors.ConfigError, match="'t5_sequence'"):
      config_lib.PrefixLMConfig(positions='t5_sequence', attention=name)
  config_lib.PrefixLMConfig(positions='t5_buckets', attention='auto')


@pytest.mark.parametrize('implementation', ['splash'])
def test_the_model_is_the_same_by_a_fused_kernel(implementation):
  # Interpreted. Hidden states of every target, and of a prefix's cache.
  layout = small.SPACE.layout(_LAYOUT)
  tokens_BL = small.tokens(layout, 2)
  visible_BL = np.ones(tokens_BL.shape, bool)
  visible_BL[0, layout.slices['text_i']] = False
  found = []
  for name in ('xla', implementation):
    config = small.config(cell_inputs=(), attention=name)
    model, params = small.build(config)
    found.append(
      model.apply(
        {'params': params}, tokens_BL, visible_BL, layout, method='hidden'
      )
    )
  np.testing.assert_allclose(*found, atol=1e-5)
