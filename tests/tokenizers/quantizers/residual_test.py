"""Residual quantization: lookup, gradients, data-fitted codes, revival."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from videopoet_jax.tokenizers.quantizers import codebook
from videopoet_jax.tokenizers.quantizers import residual

_CONFIG = residual.ResidualQuantizerConfig(
  num_levels=3, codebook_size=16, width=4, dropout=0.0
)


def _latents(batch=4, frames=20):
  return jax.random.normal(jax.random.key(1), (batch, frames, 4))


def _params(codebooks):
  return {'params': {'codebooks': codebooks / codebook.SPEED}}


def _codebooks(params):
  return codebook.SPEED * params['params']['codebooks']


def _quantizer(config=_CONFIG):
  module = residual.ResidualVectorQuantizer(config)
  codebooks = residual.codebooks_from_data(
    jax.random.key(0), _latents(), config.num_levels, config.codebook_size
  )
  return module, _params(codebooks)


def test_ids_are_the_nearest_codes_of_what_is_left():
  module, params = _quantizer()
  latents = np.asarray(_latents())
  codebooks = np.asarray(_codebooks(params))
  ids = np.asarray(module.apply(params, latents, method='encode'))
  assert ids.shape == (4, 3, 20) and ids.dtype == np.int32
  left = latents.copy()
  for level in range(3):
    gaps = np.square(left[:, :, None] - codebooks[level]).sum(-1)
    np.testing.assert_array_equal(ids[:, level], gaps.argmin(-1))
    left -= codebooks[level][ids[:, level]]
  decoded = module.apply(params, ids, method='decode')
  np.testing.assert_allclose(decoded, latents - left, atol=1e-5)
  first = module.apply(params, ids[:, :1], method='decode')
  np.testing.assert_allclose(first, codebooks[0][ids[:, 0]], atol=1e-6)


def test_each_level_leaves_less():
  module, params = _quantizer()
  latents = _latents()
  ids = module.apply(params, latents, method='encode')
  errors = [
    float(
      jnp.mean(
        jnp.square(
          latents - residual.decode(ids[:, :levels], _codebooks(params))
        )
      )
    )
    for levels in (1, 2, 3)
  ]
  assert errors[0] > 1.5 * errors[1] > 2 * errors[2]
  assert errors[0] < 0.5, 'codes were fitted to the data, whose variance is 1'


def test_training_values_are_those_of_encode_and_decode():
  module, params = _quantizer()
  out = module.apply(params, _latents())
  ids = module.apply(params, _latents(), method='encode')
  np.testing.assert_array_equal(out.ids_BKF, ids)
  decoded = module.apply(params, ids, method='decode')
  np.testing.assert_allclose(out.latents_BFD, decoded, atol=1e-5)


def test_gradients_go_straight_through_and_only_where_they_should():
  module, params = _quantizer()
  total = lambda x: jnp.sum(module.apply(params, x).latents_BFD)
  np.testing.assert_allclose(jax.grad(total)(_latents()), 1.0)
  codes = lambda p: jnp.sum(module.apply(p, _latents()).latents_BFD)
  assert (
    float(jnp.abs(jax.grad(codes)(params)['params']['codebooks']).max()) == 0
  )
  fit = lambda x: module.apply(params, x).codebook_loss
  assert float(jnp.abs(jax.grad(fit)(_latents())).max()) == 0
  commit = lambda x: module.apply(params, x).commitment_loss
  assert float(jnp.abs(jax.grad(commit)(_latents())).max()) > 0


def test_dropout_uses_the_first_levels_of_some_clips():
  config = residual.ResidualQuantizerConfig(
    num_levels=3, codebook_size=16, width=4, dropout=1.0
  )
  module, params = _quantizer(config)
  latents = _latents(batch=32)
  out = module.apply(params, latents, jax.random.key(3))
  matched = np.zeros(4, int)
  for clip in range(32):
    ids = out.ids_BKF[clip : clip + 1]
    for levels in (1, 2, 3):
      decoded = residual.decode(ids[:, :levels], _codebooks(params))[0]
      matched[levels] += np.allclose(decoded, out.latents_BFD[clip], atol=1e-4)
  assert matched.sum() == 32 and matched[1:].min() >= 3


def test_idle_codes_come_back():
  # All codes but one start far from every latent: nobody chooses them.
  config = residual.ResidualQuantizerConfig(
    num_levels=1, codebook_size=8, width=2, dropout=0.0
  )
  module = residual.ResidualVectorQuantizer(config)
  codebook = jnp.full((1, 8, 2), 3.0) + jnp.arange(8.0)[None, :, None] * 0.1
  params = _params(codebook.at[0, 0].set(0.0))
  latents = 0.5 * jax.random.normal(jax.random.key(0), (1, 64, 2))
  optimizer = optax.adam(0.01)

  @jax.jit
  def step(params, state):
    def loss(p):
      out = module.apply(p, latents)
      return out.codebook_loss + 0.05 * out.revival_loss

    updates, state = optimizer.update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state

  before = float(module.apply(params, latents).usage_K[0])
  state = optimizer.init(params)
  for _ in range(150):
    params, state = step(params, state)
  after = float(module.apply(params, latents).usage_K[0])
  assert before <= 2 / 8 and after >= 7 / 8


def test_there_are_no_levels_past_the_last():
  codebooks = jnp.zeros((3, 8, 4))
  assert residual.decode(jnp.zeros((2, 3, 5), int), codebooks).shape == (
    2,
    5,
    4,
  )
  with pytest.raises(AssertionError, match='dimension'):
    residual.decode(jnp.zeros((2, 4, 5), int), codebooks)
