"""Validation is a function of the parameters alone, for every trainable."""

import dataclasses
import inspect

import chex
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.prefix_lm import small
from tests.tokenizers.magvit2 import configs
from tests.training import audio_tokenizer_test
from tests.training import super_resolution_test
from videopoet_jax.training import audio_tokenizer
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import metrics
from videopoet_jax.training import optimizers
from videopoet_jax.training import prefix_lm
from videopoet_jax.training import schedules
from videopoet_jax.training import validation
from videopoet_jax.training import visual_tokenizer

_LAYOUT = f'image_to_video/{small.SIZE}'


def _video():
  return {
    'video': np.random.default_rng(0).integers(
      0, 256, (2, 5, 16, 16, 3), np.uint8
    )
  }


def _visual(config, **recipe):
  return visual_tokenizer.VisualTokenizerTrainable(
    config, visual_tokenizer.VisualTokenizerRecipe(**recipe)
  )


def _audio(config, **recipe):
  # Every clip loses levels in training.
  config = dataclasses.replace(config, quantizer_dropout=1.0)
  return audio_tokenizer.AudioTokenizerTrainable(
    config, audio_tokenizer.AudioTokenizerRecipe(windows=(64, 256), **recipe)
  )


def _language(**settings):
  config = small.config()
  return prefix_lm.PrefixLMTrainable(
    config, small.SPACE, (_LAYOUT,), **settings
  )


def _tokens():
  layout = _language().layouts[_LAYOUT]
  return {
    'tokens': small.tokens(layout, 4),
    'visible': np.ones((4, layout.length), bool),
  }


# A trainable as it is at one point of a run, and with everything that only
# training is to see as far from that as it gets.
_SHORT, _LONG = {'total_steps': 1}, {'total_steps': 10_000}
_AUDIO_CONFIGS = {
  'audio_patch': audio_tokenizer_test._PATCH,
  'audio_soundstream': audio_tokenizer_test._CONVOLUTIONAL,
}
_CASES = {
  **{
    f'visual_{name}': (
      'clip',
      _video,
      _visual(config, **_SHORT),
      _visual(config, bypass_until=1.0, entropy_until=1.0, **_LONG),
    )
    for name, config in configs.BOTH.items()
  },
  'visual_decoder_only': (
    'clip',
    _video,
    _visual(configs.PATCH, decoder_only=True, **_SHORT),
    _visual(configs.PATCH, decoder_only=True, uncertain_share=0.9, **_LONG),
  ),
  **{
    name: (
      'clip',
      audio_tokenizer_test._batch,
      _audio(config, **_SHORT),
      _audio(config, bypass_until=1.0, **_LONG),
    )
    for name, config in _AUDIO_CONFIGS.items()
  },
  'prefix_lm': (_LAYOUT, _tokens, _language(), _language(context_noise=0.5)),
  'super_resolution': (
    super_resolution_test.UNIT,
    super_resolution_test._batch,
    super_resolution_test._trainable(
      low_noise=0.0, drop_low=0.0, drop_text=0.0
    ),
    super_resolution_test._trainable(
      low_noise=1.0, drop_low=1.0, drop_text=1.0, all_hidden=1.0
    ),
  ),
}


def _moved(params):
  """Parameters with noise: some start at zero and let nothing through."""
  drawn = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: leaf + 0.1 * drawn.normal(size=leaf.shape).astype(leaf.dtype),
    params,
  )


def _scores(trainable, params, batch, unit, key):
  # Compiled, as the loop does it, and so that both round alike.
  found = jax.jit(trainable.validation_loss, static_argnums=3)(
    params, batch, jax.random.key(key), unit
  )
  return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize('name', _CASES)
def test_nothing_of_training_is_seen(name):
  unit, make_batch, calm, wild = _CASES[name]
  batch = make_batch()
  params = _moved(nn.unbox(jax.jit(calm.init)(jax.random.key(0), batch)))
  first = _scores(calm, params, batch, unit, 0)
  assert np.isfinite(first[0])
  chex.assert_trees_all_equal(first, _scores(wild, params, batch, unit, 0))
  # It can fail: training scores the same parameters by the step and by chance.
  trained = [
    float(
      jax.jit(trainable.loss, static_argnums=4)(
        params, batch, jax.random.key(3), jnp.int32(1), unit
      )[0]
    )
    for trainable in (calm, wild)
  ]
  assert trained[0] != trained[1]
  if name != 'super_resolution':
    # Nothing is drawn; super-resolution draws which ids are hidden.
    other = _scores(wild, params, batch, unit, 1)
    chex.assert_trees_all_equal(first, other)


def test_no_step_reaches_validation():
  for _, _, trainable, _ in _CASES.values():
    assert 'step' not in inspect.signature(trainable.validation_loss).parameters
  called = inspect.signature(validation.Validation.__call__).parameters
  assert list(called) == ['self', 'params', 'frozen']


class _OneBatch:
  """The same clips at every step."""

  def __init__(self, batch):
    self._batch = batch

  def units(self):
    return ('clip',)

  def unit_at(self, step):
    return 'clip'

  def batch(self, step):
    return self._batch

  def batches(self, unit):
    return [self._batch]


@pytest.mark.parametrize('name', ['visual_patch', 'audio_patch'])
def test_a_run_that_learns_nothing_validates_to_one_number(name, tmp_path):
  _, make_batch, _, trainable = _CASES[name]
  recipe = dataclasses.replace(trainable.recipe, total_steps=4)
  trainable = type(trainable)(trainable.config, recipe)
  data = _OneBatch(
    {k: np.concatenate([v] * 8)[:8] for k, v in make_batch().items()}
  )
  loop.run(
    trainable,
    data,
    tmp_path,
    config=loop_config.LoopConfig(
      total_steps=4, validate_every=1, save_every=4, tensorboard=False
    ),
    optimizer=optimizers.OptimizerConfig(
      learning_rate=0.0,
      schedule=schedules.ScheduleConfig(name='constant', warmup_steps=0),
    ),
    validation=data,
    log=lambda line: None,
  )
  records = metrics.read(tmp_path / metrics.FILE_NAME)
  found = [r['validation/loss'] for r in records if 'validation/loss' in r]
  assert len(found) == 4
  assert len(set(found)) == 1
