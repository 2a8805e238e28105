"""Adversarial training: separate gradients, schedules, one loop for both."""

import dataclasses
import functools
import pathlib

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.checkpoints import tree as tree_lib
from videopoet_jax.core import errors
from videopoet_jax.losses import adversarial as losses
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules
from videopoet_jax.tokenizers.magvit2 import discriminator
from videopoet_jax.training import adversarial
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import optimizers
from videopoet_jax.training import visual_tokenizer

_OPTIMIZER = optimizers.OptimizerConfig(
  name='adamw',
  learning_rate=3e-3,
  discriminator=optimizers.DiscriminatorOptimizerConfig(learning_rate=1e-3),
)
_LOOP = loop_config.LoopConfig(
  total_steps=6,
  log_every=1,
  save_every=3,
  keep=6,
  tensorboard=False,
  ema_decay=0.9,
)


def _trainable(**settings):
  inner = visual_tokenizer.VisualTokenizerTrainable(
    configs.PATCH,
    visual_tokenizer.VisualTokenizerRecipe(total_steps=10, bypass_until=0.0),
  )
  return adversarial.AdversarialTrainable(
    inner,
    discriminator.DiscriminatorConfig(4, (1,)),
    adversarial.AdversarialRecipe(**settings),
  )


@dataclasses.dataclass(frozen=True)
class _Clips:
  """Noise; clips of steps in `bad` are not finite."""

  bad: tuple[int, ...] = ()
  size: int = 8

  def units(self):
    return ('clip',)

  def unit_at(self, step):
    del step
    return 'clip'

  def read_part(self, index, count):
    assert (index, count) == (0, 1)

  def batch(self, step):
    rng = np.random.default_rng(step)
    video = rng.uniform(-1, 1, (self.size, 5, 16, 16, 3)).astype(np.float32)
    return {'video': video * (np.nan if step in self.bad else 1.0)}


@functools.cache
def _params():
  init = jax.jit(lambda key: _trainable().init(key, _Clips().batch(0)))
  return nn.unbox(init(jax.random.key(0)))


@functools.cache
def _compiled(**settings):
  trainable = _trainable(**settings)

  def loss(params, step):
    return trainable.loss(
      params, _Clips(size=2).batch(0), jax.random.key(1), step
    )

  return jax.jit(jax.grad(loss, has_aux=True))


def _gradients(step=0, params=None, **settings):
  """Gradients and metrics of one batch and key."""
  return _compiled(**settings)(
    _params() if params is None else params, jnp.int32(step)
  )


def _size(tree):
  return float(sum(np.abs(np.asarray(x)).sum() for x in jax.tree.leaves(tree)))


def test_gradients_of_the_two_networks_are_separate():
  """Each branch's gradient is that of its own loss, computed on its own."""
  trainable = _trainable(weight=0.5)
  found, _ = _gradients(weight=0.5)
  batch, key, step = _Clips(size=2).batch(0), jax.random.key(1), jnp.int32(0)
  module = discriminator.Discriminator(trainable.discriminator)
  weights = _params()['discriminator']

  def generator_alone(generator):
    passed = trainable.inner.reconstruct(generator, batch, key, step)
    fake = module.apply({'params': weights}, passed.out)
    return passed.loss + 0.5 * losses.generator_loss(fake, 'non_saturating')

  passed = trainable.inner.reconstruct(_params()['generator'], batch, key, step)

  def discriminator_alone(weights):
    def logits(video):
      return module.apply({'params': weights}, video)

    real, fake = logits(passed.video), logits(passed.out)
    zero = jnp.zeros(())
    return (
      losses.discriminator_loss(real, fake, 'non_saturating')
      + 0.001 * losses.lecam(real, fake, zero, zero)
      + 5.0 * losses.gradient_penalty(logits, passed.video)
    )

  for branch, alone in (
    ('generator', generator_alone),
    ('discriminator', discriminator_alone),
  ):
    expected = jax.jit(jax.grad(alone))(_params()[branch])
    assert _size(expected) > 0
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
      found[branch],
      expected,
    )


def test_the_loss_that_is_logged_is_the_generators():
  trainable = _trainable(weight=0.5)
  _, metrics = _gradients(weight=0.5)
  passed = jax.jit(trainable.inner.reconstruct)(
    _params()['generator'],
    _Clips(size=2).batch(0),
    jax.random.key(1),
    jnp.int32(0),
  )
  np.testing.assert_allclose(
    metrics['loss'], passed.loss + metrics['adversarial'], rtol=1e-5
  )
  assert metrics['adversarial'] > 0 and metrics['gradient_penalty'] > 0


def test_terms_act_from_their_steps():
  settings = {'start': 0.3, 'lead': 0.2}
  before, metrics = _gradients(step=2, **settings)
  assert _size(before['discriminator']) == 0.0 and metrics['discriminator'] == 0
  assert _size(before['statistics']) == 0.0
  leading, metrics = _gradients(step=3, **settings)
  assert _size(leading['discriminator']) > 0 and metrics['adversarial'] == 0.0
  joined, metrics = _gradients(step=5, **settings)
  assert metrics['adversarial'] > 0
  # The same draw and clip: only the adversarial term differs.
  assert (
    _size(jax.tree.map(jnp.subtract, joined['generator'], leading['generator']))
    > 0
  )


def test_a_penalty_now_and_then_has_the_same_mean():
  each = [
    float(_gradients(step, penalty_every=every)[1]['gradient_penalty'])
    for every in (1, 4)
    for step in range(4)
  ]
  assert each[5:] == [0.0, 0.0, 0.0]
  np.testing.assert_allclose(np.mean(each[:4]), np.mean(each[4:]), rtol=1e-4)


def test_averages_of_logits_move_as_moving_averages():
  params = dict(_params())
  params['statistics'] = {'real': jnp.array(0.5), 'fake': jnp.array(-2.0)}
  gradients, metrics = _gradients(params=params)
  optimizer = optimizers.create(_OPTIMIZER, 10, _axes(_trainable()))
  updates, _ = jax.jit(
    lambda: optimizer.update(gradients, optimizer.init(params), params)
  )()
  for name in ('real', 'fake'):
    old = params['statistics'][name]
    np.testing.assert_allclose(
      old + updates['statistics'][name],
      0.999 * old + 0.001 * metrics[f'logits_{name}'],
      rtol=1e-6,
    )


def _axes(trainable):
  return rules.logical_axes(
    jax.eval_shape(trainable.init, jax.random.key(0), _Clips().batch(0))
  )


def _run(run_dir, batches=_Clips(), config=_LOOP, **settings):
  lines = []
  if 'mesh' not in settings:
    settings['devices'] = jax.devices()[:1]
  result = loop.run(
    _trainable(start=0.2, penalty_every=2),
    batches,
    run_dir,
    config=config,
    optimizer=_OPTIMIZER,
    log=lines.append,
    **settings,
  )
  return result, lines


def _leaves(result):
  return jax.tree.leaves(jax.device_get(result.state))


def test_resuming_continues_both_networks_bit_for_bit(tmp_path):
  whole, _ = _run(tmp_path / 'whole')
  stopped = dataclasses.replace(_LOOP, save_every=1)
  _run(tmp_path / 'parts', config=dataclasses.replace(stopped, total_steps=6))
  # As a kill after step 4 leaves the folder.
  for step in pathlib.Path(tmp_path / 'parts' / 'steps').iterdir():
    if step.name.isdigit() and int(step.name) > 4:
      for file in sorted(step.rglob('*'), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
      step.rmdir()
  resumed, lines = _run(tmp_path / 'parts', config=stopped)
  assert any('after step' in line for line in lines)
  for one, other in zip(_leaves(whole), _leaves(resumed), strict=True):
    np.testing.assert_array_equal(one, other)


def test_eight_devices_equal_one(tmp_path):
  one, _ = _run(tmp_path / 'one')
  eight, _ = _run(tmp_path / 'eight', mesh=mesh_lib.MeshConfig(data=4, fsdp=2))
  for branch in ('generator', 'discriminator', 'statistics'):
    jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4),
      jax.device_get(one.state.params[branch]),
      jax.device_get(eight.state.params[branch]),
    )


def test_a_step_that_is_not_finite_moves_neither_and_names_the_terms(tmp_path):
  config = dataclasses.replace(_LOOP, max_skipped_in_a_row=2)
  skipped, _ = _run(tmp_path / 'one', _Clips(bad=(5,)), config=config)
  before, _ = _run(
    tmp_path / 'before', config=dataclasses.replace(config, total_steps=6)
  )
  assert int(skipped.state.skipped) == 1 and int(before.state.skipped) == 0
  with pytest.raises(FloatingPointError, match=r'2 steps .*\(.*mse.*psnr'):
    _run(tmp_path / 'two', _Clips(bad=(3, 4)), config=config)


def test_the_tokenizer_of_a_run_is_the_generator(tmp_path):
  trainable = _trainable()
  tokenizer = trainable.bundle(_params())
  tokenizer.save(tmp_path / 'tokenizer')
  saved = tree_lib.restore_tree(tmp_path / 'tokenizer' / 'params')
  assert jax.tree.structure(saved) == jax.tree.structure(_params()['generator'])
  video = _Clips(size=1).batch(0)
  expected, _ = jax.jit(trainable.inner.validation_loss)(
    _params()['generator'], video, jax.random.key(0)
  )
  found, _ = jax.jit(trainable.validation_loss)(
    _params(), video, jax.random.key(0)
  )
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'loss': 'hing'}, "loss is 'hing'.*hinge"),
    ({'weight': 0.0}, 'weight'),
    ({'start': 0.5, 'lead': 0.5}, 'never meets'),
    ({'penalty_every': 0}, 'penalty_every'),
  ],
)
def test_refusals(settings, message):
  with pytest.raises(errors.ConfigError, match=message):
    adversarial.AdversarialRecipe(**settings)


@pytest.mark.parametrize('bound', [True, False])
def test_an_optimizer_belongs_to_a_discriminator(bound):
  config = _OPTIMIZER if bound else optimizers.OptimizerConfig()
  trainable = _trainable().inner if bound else _trainable()
  with pytest.raises(errors.ConfigError, match='OptimizerConfig.discriminator'):
    optimizers.create(config, 10, _axes(trainable))
