"""Optimizers see each layer of a scan by itself; schedules end where meant."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import vocabulary
from videopoet_jax.models.prefix_lm import model as lm_model
from videopoet_jax.models.prefix_lm import presets as lm_presets
from videopoet_jax.models.super_resolution import model as sr_model
from videopoet_jax.models.super_resolution import presets as sr_presets
from videopoet_jax.parallel import rules
from videopoet_jax.training import optimizers
from videopoet_jax.training import schedules

P = jax.sharding.PartitionSpec
CONFIG = optimizers.OptimizerConfig(
  learning_rate=0.1,
  schedule=schedules.ScheduleConfig(name='constant', warmup_steps=0),
  clip_norm=0.0,
)


def _updates(config, axes, params, grads, steps=2):
  optimizer = optimizers.create(config, 10, axes)
  state = optimizer.init(params)
  update = jax.jit(optimizer.update)
  for _ in range(steps):
    updates, state = update(grads, state, params)
    params = optax.apply_updates(params, updates)
  return updates


def _normal(*shape):
  return jnp.asarray(
    np.random.default_rng(sum(shape)).normal(size=shape), jnp.float32
  )


# A scan over three layers: the layer axis first, or as flax stacks it.
_AXES = {
  'kernel': ('embed', 'mlp'),
  'query': ('embed', 'heads', 'head_dim'),
  'out': ('heads', 'head_dim', 'embed'),
  'scale': ('embed',),
}
_SHAPES = {
  'kernel': (144, 130),
  'query': (12, 2, 4),
  'out': (2, 4, 12),
  'scale': (12,),
}


@pytest.mark.parametrize(
  ('name', 'axis'),
  [('adafactor', 0), ('adafactor', 1), ('muon', 0), ('muon', 1), ('adamw', 0)],
)
def test_a_scan_over_layers_is_updated_layer_by_layer(name, axis):
  config = dataclasses.replace(CONFIG, name=name)
  single_axes = {k: P(*v) for k, v in _AXES.items()}
  stacked_axes, params, grads = {}, {}, {}
  for key, names in _AXES.items():
    names = list(names)
    names.insert(axis, 'layers')
    stacked_axes[key] = P(*names)
    shape = list(_SHAPES[key])
    shape.insert(axis, 3)
    params[key] = _normal(*shape)
    grads[key] = 7.0 * _normal(*shape[::-1]).reshape(shape)
  stacked = _updates(config, stacked_axes, params, grads)
  for layer in range(3):
    take = lambda x, layer=layer: jnp.take(x, layer, axis=axis)
    single = _updates(
      config,
      single_axes,
      jax.tree.map(take, params),
      jax.tree.map(take, grads),
    )
    chex.assert_trees_all_close(
      jax.tree.map(take, stacked), single, rtol=2e-4, atol=2e-5
    )


def test_adafactor_keeps_factors_only():
  optimizer = optimizers.create(
    dataclasses.replace(CONFIG, name='adafactor'),
    10,
    {'kernel': P('layers', 'embed', 'mlp')},
  )
  state = optimizer.init({'kernel': jnp.zeros((3, 256, 128))})
  sizes = [leaf.size for leaf in jax.tree.leaves(state)]
  assert max(sizes) == 3 * 256


def test_muon_turns_matrices_into_orthogonal_updates():
  axes = {
    'conv': P('conv_time', 'conv_height', 'conv_width', 'conv_in', 'conv_out'),
    'query': P('layers', 'embed', 'heads', 'head_dim'),
    'out': P('heads', 'head_dim', 'embed'),
    'embedding': P('vocab', 'embed'),
    'bias': P('conv_out'),
  }
  dimensions = optimizers.muon_dimensions(CONFIG, axes)
  assert dimensions['conv'] == ((0, 1, 2, 3), (4,))
  # Layers and heads are matrices of their own.
  assert dimensions['query'] == ((1,), (3,))
  assert dimensions['out'] == ((1,), (2,))
  assert dimensions['embedding'] is None
  assert dimensions['bias'] is None
  config = dataclasses.replace(CONFIG, name='muon')
  shapes = {
    'conv': (2, 2, 2, 4, 8),
    'query': (3, 16, 2, 4),
    'out': (2, 4, 16),
    'embedding': (9, 4),
    'bias': (8,),
  }
  params = {k: _normal(*v) for k, v in shapes.items()}
  updates = _updates(config, axes, params, params, steps=1)
  matrices = [
    np.asarray(updates['conv']).reshape(32, 8),
    updates['query'][2, :, 1],
    updates['out'][1] / 2.0,  # Wide: scaled by the root of 16 / 4.
  ]
  for matrix in matrices:
    values = np.linalg.svd(np.asarray(matrix) / 0.1, compute_uv=False)
    assert 0.6 < values.min()
    assert values.max() < 1.4
  # Adam's first step, with Nesterov's momentum, is of one size everywhere.
  sizes = np.abs(updates['embedding']) / config.adam_learning_rate
  np.testing.assert_allclose(sizes, sizes[0, 0], rtol=1e-3)
  assert 1.0 <= sizes[0, 0] < 1.6


def test_decay_spares_vectors_and_tables():
  axes = {
    'kernel': P('layers', 'embed', 'mlp'),
    'scale': P('layers', 'embed'),
    'embedding': P('vocab', 'embed'),
  }
  assert optimizers.decay_mask(CONFIG, axes) == {
    'kernel': True,
    'scale': False,
    'embedding': False,
  }
  for name in optimizers.OPTIMIZERS:
    config = dataclasses.replace(CONFIG, name=name, weight_decay=0.5)
    params = {
      'kernel': jnp.ones((2, 4, 4)),
      'scale': jnp.ones((2, 4)),
      'embedding': jnp.ones((4, 4)),
    }
    zero = jax.tree.map(jnp.zeros_like, params)
    updates = _updates(config, axes, params, zero, steps=1)
    np.testing.assert_allclose(updates['kernel'], -0.05, rtol=1e-5)
    np.testing.assert_allclose(updates['scale'], 0.0, atol=1e-6)
    np.testing.assert_allclose(updates['embedding'], 0.0, atol=1e-6)


def _boxed_models():
  """Parameters of every kind of model that is trained, as shapes."""
  ids = vocabulary.Vocabulary(visual_size=16, text_size=16, audio_codes=8)
  small = {'width': 8, 'num_layers': 1, 'mlp_dim': 8, 'num_heads': 2}
  for name in lm_presets.NAMES:
    yield (
      name,
      lm_model.PrefixLM(
        lm_presets.preset(
          name, **small, num_kv_heads=2, head_dim=4, cell_hidden=8
        ),
        ids,
      ),
    )
  for name in sr_presets.NAMES:
    yield name, sr_model.SuperResolution(sr_presets.preset(name), 16, 16)


def test_all_matrices_decay_and_nothing_that_is_looked_up():
  seen = set()
  for name, model in _boxed_models():
    boxed = jax.eval_shape(
      lambda key, model=model: model.init(key, method='declare')['params'],
      jax.random.key(0),
    )
    mask = optimizers.decay_mask(CONFIG, rules.logical_axes(boxed))
    for (path, decays), leaf in zip(
      jax.tree_util.tree_leaves_with_path(mask),
      jax.tree.leaves(rules.unbox(boxed)),
      strict=True,
    ):
      keys = [key.key for key in path]
      layers = 'layers' in keys or 'blocks' in keys
      looked_up = keys[-1].endswith('table') or keys[-1] in ('time', 'within')
      vector = leaf.ndim - layers < 2
      assert decays == (not vector and not looked_up), (name, keys)
      seen.add(tuple(keys[-2:]))
  # The matrices whose paths hold the word embedding, or bits.
  assert ('embedding', 'text_projection') in seen
  assert ('visual_bits', 'kernel') in seen


# What each setting acts on. What is not listed has no effect.
_ACTS_ON = {
  'learning_rate': set(optimizers.OPTIMIZERS),
  'adam_learning_rate': {'muon'},
  'beta1': {'adamw', 'muon'},
  'momentum': {'muon'},
  'beta2': {'adamw', 'muon'},
  'adafactor_decay': {'adafactor'},
  'epsilon': {'adamw', 'muon'},
  'weight_decay': set(optimizers.OPTIMIZERS),
  'decay_excluded': set(optimizers.OPTIMIZERS),
  'muon_excluded': {'muon'},
  'clip_norm': set(optimizers.OPTIMIZERS),
}


@pytest.mark.parametrize('name', optimizers.OPTIMIZERS)
def test_every_setting_acts_where_it_says(name):
  # The discriminator's is tested with adversarial training.
  others = {'name', 'schedule', 'accumulate', 'discriminator'}
  fields = {f.name for f in dataclasses.fields(CONFIG)} - others
  assert fields == set(_ACTS_ON)
  axes = {
    'kernel': P('embed', 'mlp'),
    'odd': P('embed', 'mlp'),
    'scale': P('embed'),
  }
  params = {'kernel': _normal(6, 4), 'odd': _normal(6, 5), 'scale': _normal(6)}
  grads = jax.tree.map(lambda x: 3.0 * x[::-1], params)
  base = dataclasses.replace(
    CONFIG, name=name, weight_decay=0.1, clip_norm=40.0
  )

  def run(config):
    optimizer = optimizers.create(config, 10, axes)
    state, moved = optimizer.init(params), params
    # Optimizers that divide by the size of gradients see differences only.
    for scale in (1.0, 30.0, 3.0):
      scaled = jax.tree.map(lambda x, scale=scale: scale * x, grads)
      updates, state = optimizer.update(scaled, state, moved)
      moved = optax.apply_updates(moved, updates)
    return moved

  changed = {
    **{field: 0.5 * getattr(base, field) for field in fields - {'epsilon'}
       if isinstance(getattr(base, field), float)},
    'epsilon': 0.5,
    'decay_excluded': 'odd',
    'muon_excluded': 'odd',
  }  # fmt: skip
  plain = run(base)
  for field, value in changed.items():
    other = dataclasses.replace(base, **{field: value})
    found = run(other)
    same = all(
      np.array_equal(a, b)
      for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(found))
    )
    assert same == (name not in _ACTS_ON[field]), field


def test_the_gradient_norm_is_clipped():
  config = dataclasses.replace(CONFIG, clip_norm=1.0, epsilon=1.0)
  axes = {'kernel': P('embed', 'mlp')}
  params = {'kernel': jnp.zeros((2, 2))}
  large = {'kernel': 100.0 * jnp.ones((2, 2))}
  huge = jax.tree.map(lambda x: 10.0 * x, large)
  a = _updates(config, axes, params, large)
  b = _updates(config, axes, params, huge)
  np.testing.assert_allclose(a['kernel'], b['kernel'], rtol=1e-5)


def test_unknown_names():
  with pytest.raises(errors.ConfigError, match="'muon'"):
    optimizers.OptimizerConfig(name='mun')
  with pytest.raises(errors.ConfigError, match="'cosine'"):
    schedules.ScheduleConfig(name='cos')
