"""The audio tokenizer's training: data-fitted start, terms, and learning."""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.quantizers import codebook
from videopoet_jax.tokenizers.quantizers import residual
from videopoet_jax.tokenizers.soundstream import config as config_lib
from videopoet_jax.training import audio_tokenizer

_PATCH = config_lib.SoundStreamConfig(
  architecture='patch',
  strides=(16, 10),
  num_levels=2,
  codebook_size=16,
  latent_width=12,
  window=64,
  hidden_width=32,
  envelope_steps=4,
  quantizer_dropout=0.0,
)
_CONVOLUTIONAL = config_lib.SoundStreamConfig(
  strides=(4, 4),
  channels=4,
  dilations=(1,),
  num_levels=2,
  codebook_size=16,
  latent_width=8,
)


def _batch():
  time = np.arange(1600) / 16_000
  waves = [np.sin(2 * np.pi * hertz * time) for hertz in (300, 500, 700, 900)]
  return {'audio': (np.stack(waves) * 9000).astype(np.int16)}


def _trainable(config=_PATCH, **settings):
  return audio_tokenizer.AudioTokenizerTrainable(
    config, audio_tokenizer.AudioTokenizerRecipe(**settings)
  )


@pytest.mark.parametrize('config', [_PATCH, _CONVOLUTIONAL])
def test_gradients_reach_every_part(config):
  trainable = _trainable(config, total_steps=10, windows=(64, 256))
  params = nn.unbox(jax.jit(trainable.init)(jax.random.key(0), _batch()))

  # The batch is an argument: as a constant, it would be folded while compiling.
  @jax.jit
  def run(params, batch):
    loss = lambda p: trainable.loss(
      p, batch, jax.random.key(1), jnp.int32(5), 'clip'
    )
    return jax.value_and_grad(loss, has_aux=True)(params)

  (total, metrics), gradients = run(params, _batch())
  recipe = trainable.recipe
  expected = (
    metrics['spectral_loss']
    + metrics['waveform_loss']
    + recipe.codebook * metrics['codebook_loss']
    + recipe.commitment * metrics['commitment_loss']
  )
  # The revival term, which is not logged, is small and positive.
  assert 0 <= float(total - expected) < 0.1 * float(total)
  for part in ('encoder', 'decoder', 'quantizer'):
    assert float(optax.tree.norm(gradients[part])) > 0
  assert np.isfinite(float(optax.tree.norm(gradients)))


def test_codes_start_at_the_latents_of_the_data():
  trainable = _trainable()
  params = nn.unbox(trainable.init(jax.random.key(0), _batch()))
  tokenizer = trainable.bundle(params)
  latents = tokenizer.module.apply(
    {'params': params}, _batch()['audio'] / 32768.0, method='latents'
  )
  ids = tokenizer.encode(_batch()['audio'])
  codebooks = codebook.SPEED * params['quantizer']['codebooks']
  decoded = residual.decode(ids, codebooks)
  error = np.mean(np.square(latents - decoded))
  assert error < 0.1 * np.var(latents)


def test_a_few_sounds_are_learned():
  trainable = _trainable(total_steps=200)
  params = nn.unbox(trainable.init(jax.random.key(0), _batch()))
  optimizer = optax.adam(4e-3)

  @jax.jit
  def step(params, state, batch, number):
    def loss(p):
      key = jax.random.fold_in(jax.random.key(1), number)
      return trainable.loss(p, batch, key, number, 'clip')

    gradients, _ = jax.grad(loss, has_aux=True)(params)
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(params, updates), state

  state = optimizer.init(params)
  for number in range(200):
    params, state = step(params, state, _batch(), jnp.int32(number))
  tokenizer = trainable.bundle(params)
  audio = _batch()['audio'] / 32768.0
  again = tokenizer.decode(tokenizer.encode(_batch()['audio']))
  assert np.mean(np.square(again - audio)) < 0.1 * np.mean(np.square(audio))


def test_the_description_holds_the_config():
  description = _trainable().describe()
  assert description['kind'] == 'audio_tokenizer'
  assert config_lib.from_description(description['config']) == _PATCH
  lists = {**dataclasses.asdict(_PATCH), 'strides': [16, 10]}
  assert config_lib.from_description(lists) == _PATCH


def test_wrong_recipes_are_user_errors():
  for field, value in (
    ('total_steps', 0),
    ('levels', float('nan')),
    ('bypass_until', 2.0),
    ('windows', ()),
    ('windows', (0,)),
  ):
    with pytest.raises(errors.ConfigError, match=f'{field} is'):
      audio_tokenizer.AudioTokenizerRecipe(**{field: value})
