"""Tests of the visual tokenizer's training."""

import dataclasses
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.core import errors
from videopoet_jax.parallel import rules
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.training import optimizers
from videopoet_jax.training import schedules
from videopoet_jax.training import state as state_lib
from videopoet_jax.training import step as step_lib
from videopoet_jax.training import visual_tokenizer


def _batch():
  rng = np.random.default_rng(0)
  return {'video': rng.integers(0, 256, (2, 5, 16, 16, 3), np.uint8)}


def _trainable(**settings):
  return visual_tokenizer.VisualTokenizerTrainable(
    configs.PATCH, visual_tokenizer.VisualTokenizerRecipe(**settings)
  )


@functools.cache
def _params():
  return nn.unbox(_trainable().init(jax.random.key(0), _batch()))


def _loss(trainable, step, seed=1, batch=None):
  return trainable.loss(
    _params(),
    _batch() if batch is None else batch,
    jax.random.key(seed),
    jnp.int32(step),
    'clip',
  )


def test_loss_is_the_sum_of_its_weighted_terms():
  trainable = _trainable(total_steps=100, bypass_until=0.0)
  total, metrics = _loss(trainable, 0)
  parts = [metrics[name] for name in ('mse', 'l1', 'commitment', 'entropy')]
  np.testing.assert_allclose(total, sum(parts), rtol=1e-6)
  doubled, _ = _loss(
    _trainable(total_steps=100, bypass_until=0.0, mse_weight=40.0), 0
  )
  np.testing.assert_allclose(doubled - total, metrics['mse'], rtol=1e-4)


def test_psnr_is_of_the_reconstruction():
  trainable = _trainable(total_steps=100)
  _, metrics = _loss(trainable, 100)
  tokenizer = trainable.bundle(_params())
  video = _batch()['video']
  # Unclipped, as the loss sees it.
  out, _ = tokenizer.module.apply(
    {'params': _params()}, tokenizer.prepare(video)
  )
  error = (np.asarray(out) + 1) / 2 - video / 255
  psnr = -10 * np.log10(np.mean(error**2, axis=(1, 2, 3, 4)))
  np.testing.assert_allclose(metrics['psnr'], psnr.mean(), rtol=1e-4)


def test_float_video_is_taken_as_it_is():
  trainable = _trainable(total_steps=100)
  floats = {'video': (_batch()['video'] / 127.5 - 1).astype(np.float32)}
  np.testing.assert_allclose(
    _loss(trainable, 100)[0], _loss(trainable, 100, batch=floats)[0], rtol=1e-5
  )


def test_schedules_follow_the_step():
  trainable = _trainable(total_steps=100)
  early, half, late = (_loss(trainable, step)[1] for step in (0, 30, 60))
  np.testing.assert_allclose(half['entropy'], early['entropy'] / 2, rtol=1e-5)
  assert late['entropy'] == 0.0
  # The bypass is random early, and nothing is later.
  assert _loss(trainable, 0, 1)[0] != _loss(trainable, 0, 2)[0]
  assert _loss(trainable, 30, 1)[0] == _loss(trainable, 30, 2)[0]


def test_a_few_steps_learn():
  trainable = _trainable(total_steps=60)
  optimizer = optax.adam(1e-2)
  batch = {'video': np.full((2, 5, 16, 16, 3), 40, np.uint8)}
  batch['video'][1] = 200

  @jax.jit
  def step(params, state, index):
    (_, metrics), gradient = jax.value_and_grad(trainable.loss, has_aux=True)(
      params, batch, jax.random.key(0), index
    )
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state, metrics

  params, state = _params(), optimizer.init(_params())
  for index in range(60):
    params, state, metrics = step(params, state, jnp.int32(index))
    if not index:
      first = metrics['psnr']
  assert metrics['psnr'] > first + 10.0


def test_description_rebuilds_the_config():
  description = _trainable().describe()
  assert description['kind'] == 'visual_tokenizer'
  read = config_lib.from_description(description['config'])
  assert read == configs.PATCH
  assert description['config']['num_bits'] == 6


def test_bad_settings_and_batches_are_refused():
  for wrong in (
    {'uncertain_share': 0.1},
    {'decoder_only': True, 'uncertain_share': 2},
  ):
    with pytest.raises(errors.ConfigError, match='uncertain_share is'):
      visual_tokenizer.VisualTokenizerRecipe(**wrong)
  for field, value in (
    ('total_steps', 0),
    ('mse_weight', -1.0),
    ('entropy_weight', float('inf')),
    ('bypass_until', 2.0),
    ('entropy_group_bits', 0),
  ):
    with pytest.raises(errors.ConfigError, match=f'{field} is'):
      visual_tokenizer.VisualTokenizerRecipe(**{field: value})
  for field in ('perceptual_from', 'perceptual_frames'):
    with pytest.raises(errors.ConfigError, match='perceptual term alone'):
      visual_tokenizer.VisualTokenizerRecipe(**{field: 1})
  with pytest.raises(errors.ConfigError, match='perceptual is not bound'):
    _trainable(perceptual_weight=1.0)
  with pytest.raises(errors.ConfigError, match='perceptual is bound'):
    _perceptual(lambda out, video: 0.0)
  with pytest.raises(errors.LayoutError, match='frames'):
    _trainable().init(
      jax.random.key(0), {'video': np.zeros((1, 4, 16, 16, 3), np.uint8)}
    )


def test_only_the_decoder_learns_where_asked():
  trainable = _trainable(total_steps=100, decoder_only=True)
  _, metrics = _loss(trainable, 0)
  assert not {'commitment', 'entropy'} & set(metrics)
  # Quantized from the first step on, as the tokenizer itself does.
  _, same = _loss(trainable, 99, seed=5)
  np.testing.assert_allclose(metrics['psnr'], same['psnr'], rtol=1e-6)
  grads = jax.grad(
    lambda params: trainable.loss(
      params, _batch(), jax.random.key(1), jnp.int32(0), 'clip'
    )[0]
  )(_params())
  assert all(not np.any(leaf) for leaf in jax.tree.leaves(grads['encoder']))
  assert any(np.any(leaf) for leaf in jax.tree.leaves(grads['decoder']))


def test_differences_of_neighbours_are_a_term_where_asked():
  plain, _ = _loss(_trainable(total_steps=100), 100)
  trainable = _trainable(total_steps=100, gradient_weight=3.0)
  total, metrics = _loss(trainable, 100)
  np.testing.assert_allclose(total - plain, metrics['gradient'], rtol=1e-4)
  video = _batch()['video']
  out, _ = trainable.bundle(_params()).module.apply(
    {'params': _params()}, trainable.bundle(_params()).prepare(video)
  )
  error = (np.asarray(out) + 1) / 2 - video / 255
  expected = sum(np.abs(np.diff(error, axis=axis)).mean() for axis in (2, 3))
  np.testing.assert_allclose(metrics['gradient'], 3 * expected, rtol=1e-4)


def _pattern():
  """A clip of waves behind a square: 9 frames of 16 x 16."""
  t, y, x = np.meshgrid(
    np.arange(9), np.arange(16), np.arange(16), indexing='ij'
  )
  waves = (np.sin(0.5 * x + 0.3 * t), np.cos(0.4 * y - 0.2 * t))
  video = np.stack((*waves, np.sin(0.3 * (x + y))), axis=-1) * 0.7
  video[:, 4:9, 4:9] = (0.9, -0.9, 0.2)
  return {'video': video[None].astype(np.float32)}


def test_one_clip_is_learned_to_40_db_within_500_steps():
  config = dataclasses.replace(
    configs.PATCH,
    num_bits=10,
    normalize_latents=True,
    patch_hidden_dim=64,
    patch_dim=32,
    latent_dim=48,
    output_hidden_dim=128,
  )
  trainable = visual_tokenizer.VisualTokenizerTrainable(
    config,
    visual_tokenizer.VisualTokenizerRecipe(total_steps=500, bypass_until=0.2),
  )
  batch = _pattern()
  boxed = trainable.init(jax.random.key(0), batch)
  optimizer = optimizers.create(
    optimizers.OptimizerConfig(
      name='muon',
      learning_rate=0.02,
      schedule=schedules.ScheduleConfig(
        name='cosine', warmup_steps=10, final=0.01
      ),
    ),
    500,
    rules.logical_axes(boxed),
  )
  gradients = step_lib.make_gradients(trainable, 'clip', seed=0)
  update = step_lib.make_update(optimizer)

  @jax.jit
  def steps(state):
    def one(state, _):
      grads, metrics = gradients(state.params, batch, state.step)
      state, _ = update(state, grads, {'loss': metrics['loss']})
      return state, None

    return jax.lax.scan(one, state, length=500)[0]

  state = steps(state_lib.create(rules.unbox(boxed), optimizer, False))
  # As it is used: quantized, clipped.
  _, metrics = trainable.validation_loss(state.params, batch, jax.random.key(0))
  assert metrics['psnr'] > 40.0 and int(state.skipped) == 0


def _perceptual(distance, **settings):
  return visual_tokenizer.VisualTokenizerTrainable(
    configs.PATCH,
    visual_tokenizer.VisualTokenizerRecipe(total_steps=100, **settings),
    distance,
  )


def _compared(**settings):
  """Metrics by step of a perceptual term that counts frames."""
  seen = []

  def distance(out, video):
    seen.append(video.shape)
    return jnp.mean(jnp.abs(out - video))

  trainable = _perceptual(distance, perceptual_weight=0.5, **settings)
  metrics = {step: _loss(trainable, step) for step in (0, 30, 60)}
  return seen, metrics


def test_the_perceptual_term_is_weighed_and_added():
  _, found = _compared(bypass_until=0.0)
  plain, _ = _loss(_trainable(total_steps=100, bypass_until=0.0), 0)
  total, metrics = found[0]
  assert metrics['perceptual'] > 0
  np.testing.assert_allclose(total - plain, metrics['perceptual'], rtol=1e-4)
  # Pixels from -1 to 1 in place of 0 to 1, at half the weight: the L1 term's.
  np.testing.assert_allclose(
    metrics['perceptual'], metrics['l1'] / 0.9, rtol=1e-5
  )


def test_the_perceptual_term_begins_at_its_step():
  _, found = _compared(perceptual_from=0.3)
  assert found[0][1]['perceptual'] == 0.0
  assert found[30][1]['perceptual'] > 0 and found[60][1]['perceptual'] > 0


def test_the_perceptual_term_compares_as_many_frames_as_asked():
  seen, _ = _compared(perceptual_frames=2)
  assert {shape[1] for shape in seen} == {2}
  seen, _ = _compared(perceptual_frames=99)
  assert {shape[1] for shape in seen} == {5}


def test_validation_compares_all_frames_from_the_first_step():
  trainable = _perceptual(
    lambda out, video: jnp.float32(video.shape[1]),
    perceptual_weight=2.0,
    perceptual_from=0.5,
    perceptual_frames=1,
  )
  _, metrics = trainable.validation_loss(_params(), _batch(), jax.random.key(0))
  assert metrics['perceptual'] == 10.0
