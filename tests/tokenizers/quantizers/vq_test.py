"""Tests of vector quantization with a learned codebook."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from videopoet_jax.tokenizers.quantizers import codebook
from videopoet_jax.tokenizers.quantizers import vq


def _params(codes):
  return {'params': {'codebook': jnp.asarray(codes)[None] / codebook.SPEED}}


def _quantizer(gradient='straight_through', num_codes=12):
  rng = np.random.default_rng(0)
  codes = rng.normal(size=(num_codes, 3)).astype(np.float32)
  return vq.VectorQuantizer(num_codes, 3, gradient), _params(codes), codes


def _latents():
  rng = np.random.default_rng(1)
  return jnp.asarray(rng.normal(size=(2, 10, 3)).astype(np.float32))


def test_ids_are_the_nearest_codes():
  module, params, codes = _quantizer()
  latents = _latents()
  gaps = np.square(np.asarray(latents)[..., None, :] - codes).sum(-1)
  ids = module.apply(params, latents, method='latents_to_ids')
  np.testing.assert_array_equal(ids, gaps.argmin(-1))
  terms = module.apply(params, latents, method='terms')
  for name in ('commitment', 'codebook'):
    np.testing.assert_allclose(terms[name], gaps.min(-1).mean() / 3, rtol=1e-5)


def test_each_term_moves_what_it_should():
  module, params, _ = _quantizer()

  def term(name):
    def value(params, latents):
      return module.apply(params, latents, method='terms')[name]

    parts = jax.grad(value, argnums=(0, 1))(params, _latents())
    return [float(jnp.abs(g).max()) for g in jax.tree.leaves(parts)]

  codes, latents = term('commitment')
  assert codes == 0 and latents > 0
  for name in ('codebook', 'revival'):
    codes, latents = term(name)
    assert codes > 0 and latents == 0


@pytest.mark.parametrize('gradient', vq.GRADIENTS)
def test_no_gradient_of_the_output_reaches_the_codebook(gradient):
  module, params, _ = _quantizer(gradient)

  def total(params):
    return jnp.sum(module.apply(params, _latents(), method='quantize'))

  leaves = jax.tree.leaves(jax.grad(total)(params))
  assert all(float(jnp.abs(leaf).max()) == 0 for leaf in leaves)


def test_rotation_keeps_the_angle_of_gradient_and_code():
  # The gradient at the latent has the angle to the latent that the gradient at
  # the code has to the code; its length is scaled by the lengths' ratio.
  module, params, _ = _quantizer('rotation')
  latents = _latents()
  codes = module.apply(params, latents, method='quantize')
  weights = jax.random.normal(jax.random.key(0), latents.shape)
  gradient = jax.grad(
    lambda z: jnp.sum(module.apply(params, z, method='quantize') * weights)
  )(latents)
  scale = jnp.linalg.norm(codes, axis=-1) / jnp.linalg.norm(latents, axis=-1)
  np.testing.assert_allclose(
    jnp.linalg.norm(gradient, axis=-1),
    scale * jnp.linalg.norm(weights, axis=-1),
    rtol=1e-4,
  )
  np.testing.assert_allclose(
    jnp.sum(gradient * latents, axis=-1),
    jnp.sum(weights * codes, axis=-1),
    rtol=1e-3,
    atol=1e-4,
  )


def test_idle_codes_come_back():
  codes = np.full((8, 2), 3.0, np.float32)
  codes += 0.1 * np.arange(8, dtype=np.float32)[:, None]
  codes[0] = 0
  module, params = vq.VectorQuantizer(8, 2), _params(codes)
  latents = 0.5 * jax.random.normal(jax.random.key(0), (64, 2))
  optimizer = optax.adam(0.01)

  @jax.jit
  def step(params, state):
    def loss(p):
      terms = module.apply(p, latents, method='terms')
      return terms['codebook'] + 0.05 * terms['revival']

    updates, state = optimizer.update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state

  def used(params):
    ids = module.apply(params, latents, method='latents_to_ids')
    return len(np.unique(ids))

  assert used(params) <= 2
  before = float(module.apply(params, latents, method='usage'))
  state = optimizer.init(params)
  for _ in range(150):
    params, state = step(params, state)
  assert used(params) >= 7
  assert float(module.apply(params, latents, method='usage')) > before + 0.4
