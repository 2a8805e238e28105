"""Super-resolution as something the loop trains."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.models.super_resolution import config as config_lib
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.parallel import rules
from videopoet_jax.training import super_resolution

UNIT = 'super_resolution/5x32x32'
IMAGE = 'super_resolution/1x32x32'
CONFIG = config_lib.SuperResolutionConfig(
  num_blocks=1,
  width=16,
  num_heads=2,
  head_dim=8,
  mlp_dim=24,
  windows=((1, 4, 2), (1, 2, 4), (2, 2, 2)),
  low_input=1,
  text_vocab_size=8,
  text_slots=3,
)


def _trainable(config=CONFIG, **recipe):
  return super_resolution.SuperResolutionTrainable(
    config,
    specs.VisualSpec(codebook_size=16),
    specs.VisualSpec(codebook_size=4),
    (UNIT, IMAGE),
    super_resolution.SuperResolutionRecipe(**recipe),
    {'visual': 'v', 'low': 'l'},
  )


@pytest.fixture(scope='module')
def params():
  init = jax.jit(lambda key: rules.unbox(_trainable().init(key)))
  found = init(jax.random.key(0))
  # Heads begin at zero; let every input reach the loss.
  leaves, tree = jax.tree.flatten(found)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [
    leaf + 0.3 * jax.random.normal(key, leaf.shape)
    for leaf, key in zip(leaves, keys)
  ]
  return jax.tree.unflatten(tree, moved)


def _batch(rows=8, unit=UNIT):
  drawn = np.random.default_rng(0)
  batch = {}
  for name, struct in _trainable().batch_shapes(unit, rows).items():
    high = {'video_tokens': 16, 'low_tokens': 4, 'text': 8}.get(name, 2)
    values = drawn.integers(0, high, struct.shape)
    batch[name] = values.astype(struct.dtype)
  return batch


def _losses(trainable, params, batch, method='loss', unit=UNIT, seeds=1):
  def one(key):
    if method == 'validation_loss':
      return trainable.validation_loss(params, batch, key, unit)
    return trainable.loss(params, batch, key, jnp.int32(0), unit)

  return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(5), seeds))


def test_one_set_of_parameters_serves_clips_and_images(params):
  for unit in (UNIT, IMAGE):
    loss, metrics = _losses(_trainable(), params, _batch(unit=unit), unit=unit)
    assert np.isfinite(loss).all()
    assert set(metrics) == {'loss', 'accuracy', 'hidden'}
    assert (metrics['loss'] < loss).all()  # The z term comes on top.


def test_what_is_hidden_is_most_of_it_and_differs_by_step(params):
  _, metrics = _losses(_trainable(), params, _batch(rows=64), seeds=16)
  hidden = np.asarray(metrics['hidden'])
  assert hidden.std() > 0
  # 2 / pi and half a token of 32 for rounding up.
  np.testing.assert_allclose(hidden.mean(), 2 / np.pi + 0.5 / 32, atol=0.03)


def test_all_may_be_hidden_and_conditions_uncertain(params):
  batch = _batch()
  _, metrics = _losses(_trainable(all_hidden=1.0), params, batch)
  assert metrics['hidden'] == 1.0
  sees = {'drop_low': 0.0, 'drop_text': 0.0, 'low_noise': 0.0}
  sure = _losses(_trainable(**sees), params, batch)[0]
  unsure = _losses(_trainable(**sees, low_uncertain=1.0), params, batch)[0]
  # As good as certain: the same conditions by another way.
  hardly = _losses(_trainable(**sees, low_uncertain=1e-9), params, batch)[0]
  np.testing.assert_allclose(hardly, sure, rtol=1e-5)
  assert abs(unsure - sure) > 1e-3


def test_conditions_all_dropped_do_not_matter(params):
  blind = _trainable(drop_low=1.0, drop_text=1.0)
  batch = _batch()
  other = {
    **batch,
    'low_tokens': (batch['low_tokens'] + 1) % 4,
    'text': (batch['text'] + 1) % 8,
  }
  first, second = (_losses(blind, params, b)[0] for b in (batch, other))
  np.testing.assert_allclose(first, second, rtol=1e-6)
  sees = _trainable(drop_low=0.0, drop_text=0.0, low_noise=0.0)
  first, second = (_losses(sees, params, b)[0] for b in (batch, other))
  assert np.abs(first - second).min() > 1e-3


def test_conditions_are_dropped_apart_and_at_their_rates(params):
  # One example a step: a step's loss tells which conditions were seen.
  trainable = _trainable(drop_low=0.3, drop_text=0.5, low_noise=0.0)
  batch = {n: a[:1] for n, a in _batch().items()}
  batch['text_visible'] = np.ones_like(batch['text_visible'])
  seeds = 400
  mixed = np.asarray(_losses(trainable, params, batch, seeds=seeds)[0])
  shares = {}
  for low in (0.0, 1.0):
    for text in (0.0, 1.0):
      sure = _trainable(drop_low=low, drop_text=text, low_noise=0.0)
      alone = np.asarray(_losses(sure, params, batch, seeds=seeds)[0])
      shares[low, text] = np.mean(np.abs(mixed - alone) < 1e-5)
  expected = {(0, 0): 0.35, (0, 1): 0.35, (1, 0): 0.15, (1, 1): 0.15}
  for key, share in expected.items():
    assert abs(shares[key] - share) < 0.08, shares


def test_noise_is_for_training_only(params):
  noisy = _trainable(low_noise=1.0, drop_low=0.0, drop_text=0.0)
  clean = _trainable(low_noise=0.0, drop_low=0.0, drop_text=0.0)
  batch = _batch()
  scores = [
    _losses(t, params, batch, 'validation_loss')[0] for t in (noisy, clean)
  ]
  np.testing.assert_array_equal(*scores)
  trained = [_losses(t, params, batch)[0] for t in (noisy, clean)]
  assert np.abs(trained[0] - trained[1]).min() > 1e-3


def test_a_checkpoint_says_what_sampling_needs():
  described = _trainable().describe()
  assert described['kind'] == 'super_resolution'
  assert described['units'] == [UNIT, IMAGE]
  assert described['fingerprints'] == {'visual': 'v', 'low': 'l'}


def test_sizes_that_windows_do_not_divide_are_refused():
  with pytest.raises(errors.LayoutError, match='window'):
    dataclasses.replace(_trainable(), unit_names=('super_resolution/5x48x48',))
  with pytest.raises(errors.ConfigError, match='low_noise is 1.5'):
    _trainable(low_noise=1.5)


@pytest.mark.parametrize('stage', ['sr_stage1', 'sr_stage2'])
def test_the_papers_stages_take_a_step_of_the_papers_shapes(stage):
  name, unit = presets.STAGES[stage]
  trainable = super_resolution.SuperResolutionTrainable(
    presets.preset(name),
    specs.VisualSpec(),
    specs.VisualSpec(),
    (unit, unit.replace('/17x', '/1x')),
  )
  shapes = jax.eval_shape(
    lambda key: rules.unbox(trainable.init(key)), jax.random.key(0)
  )
  grid = {'sr_stage1': (5, 56, 32), 'sr_stage2': (5, 112, 64)}[stage]
  batch = trainable.batch_shapes(unit, 2)
  assert batch['video_tokens'].shape == (2, *grid)
  loss, _ = jax.eval_shape(
    lambda *given: trainable.loss(*given, unit),
    shapes,
    batch,
    jax.random.key(0),
    jnp.int32(0),
  )
  assert loss.shape == ()
