"""Tests of training a visual tokenizer with each kind of quantizer."""

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
from videopoet_jax.training import visual_tokenizer

_SETTINGS = {
  'lfq': {},
  'bsq': {'quantizer': 'bsq'},
  'fsq': {'quantizer': 'fsq', 'num_bits': 18, 'fsq_levels': (5, 4, 3)},
  'vq': {
    'quantizer': 'vq',
    'num_bits': 18,
    'vq_codebook_size': 24,
    'vq_code_dim': 4,
  },
}
_TERMS = {
  'lfq': {'commitment', 'entropy'},
  'bsq': {'commitment', 'entropy'},
  'fsq': set(),
  'vq': {'commitment', 'codebook', 'revival'},
}


def _trainable(kind, **recipe):
  config = dataclasses.replace(configs.PATCH, **_SETTINGS[kind])
  return visual_tokenizer.VisualTokenizerTrainable(
    config, visual_tokenizer.VisualTokenizerRecipe(total_steps=100, **recipe)
  )


@functools.cache
def _batch():
  rng = np.random.default_rng(0)
  patches = rng.integers(0, 256, (2, 5, 2, 2, 3), np.uint8)
  return {'video': patches.repeat(8, axis=2).repeat(8, axis=3)}


@pytest.mark.parametrize('kind', _SETTINGS)
def test_each_kind_learns_by_its_terms(kind):
  trainable = _trainable(kind, bypass_until=0.0)
  params = nn.unbox(trainable.init(jax.random.key(0), _batch()))
  optimizer = optax.adam(3e-3)

  @jax.jit
  def step(params, state, number):
    (loss, metrics), gradient = jax.value_and_grad(
      trainable.loss, has_aux=True
    )(params, _batch(), jax.random.key(1), number)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state, loss, metrics

  state, first = optimizer.init(params), None
  for number in range(40):
    params, state, loss, metrics = step(params, state, jnp.int32(number))
    first = metrics if first is None else first
    assert np.isfinite(loss)
  terms = {'commitment', 'entropy', 'codebook', 'revival'} & set(metrics)
  assert terms == _TERMS[kind]
  parts = [metrics[name] for name in ('mse', 'l1', *terms)]
  np.testing.assert_allclose(loss, sum(parts), rtol=1e-5)
  assert metrics['psnr'] > first['psnr'] + 1
  assert 0 <= metrics['codebook_usage'] <= 1
  most = np.log2(trainable.config.spec.codebook_size)
  assert 0 <= metrics['bits_used'] <= most + 1e-4


@pytest.mark.parametrize('kind', _SETTINGS)
def test_the_bypass_gives_soft_codes(kind):
  trainable = _trainable(kind, bypass_until=0.5, bypass_noise=0.0)
  params = nn.unbox(trainable.init(jax.random.key(0), _batch()))
  seen = []

  def bottleneck(quantizer, latents):
    zero = jnp.zeros_like(latents)
    seen.append((quantizer.soften(latents, zero), quantizer.quantize(latents)))
    return seen[-1][0]

  module = trainable.bundle(params).module
  video = trainable.bundle(params).prepare(_batch()['video'])
  soft, _ = module.apply({'params': params}, video, bottleneck)
  assert not np.allclose(*seen[0], atol=1e-3)
  # At step 0 every clip bypasses.
  _, metrics = trainable.loss(params, _batch(), jax.random.key(1), jnp.int32(0))
  error = np.mean(np.square(np.asarray(soft) - video)) / 4
  np.testing.assert_allclose(metrics['mse'], 20 * error, rtol=1e-4)


def test_uncertain_bits_need_bits():
  for kind in ('lfq', 'bsq'):
    _trainable(kind, decoder_only=True, uncertain_share=0.3)
  for kind in ('fsq', 'vq'):
    with pytest.raises(errors.ConfigError, match='uncertain_share.*no meaning'):
      _trainable(kind, decoder_only=True, uncertain_share=0.3)


@pytest.mark.parametrize(
  ('kind', 'weight'),
  [
    ('lfq', 'codebook_weight'),
    ('bsq', 'revival_weight'),
    ('fsq', 'commitment_weight'),
    ('vq', 'entropy_weight'),
  ],
)
def test_weights_of_terms_that_are_not_there_are_refused(kind, weight):
  with pytest.raises(errors.ConfigError, match=f'{weight} is 0.7.*{kind}'):
    _trainable(kind, **{weight: 0.7})
  _trainable(kind, **{weight: 0.0})
