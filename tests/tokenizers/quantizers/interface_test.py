"""Tests of what every quantizer does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.quantizers import bsq
from videopoet_jax.tokenizers.quantizers import fsq
from videopoet_jax.tokenizers.quantizers import lfq
from videopoet_jax.tokenizers.quantizers import vq

_ALL = {
  'lfq': lfq.LookupFreeQuantizer(5),
  'bsq': bsq.BinarySphericalQuantizer(5),
  'fsq': fsq.FiniteScalarQuantizer((5, 4, 3)),
  'vq': vq.VectorQuantizer(24, 4),
  'vq_rotation': vq.VectorQuantizer(24, 4, 'rotation'),
}


@pytest.fixture(params=_ALL)
def case(request):
  """A quantizer and latents, with methods bound to its variables."""
  quantizer = _ALL[request.param]
  shape = (2, 3, 2, 2, quantizer.latent_dim)
  latents = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  variables = quantizer.init(jax.random.key(0), latents, method='quantize')
  return quantizer.bind(variables), jnp.asarray(latents)


def test_codes_of_ids_are_the_quantized_latents(case):
  quantizer, latents = case
  ids = quantizer.latents_to_ids(latents)
  assert (ids.shape, ids.dtype) == (latents.shape[:-1], jnp.int32)
  assert 0 <= ids.min() and ids.max() < quantizer.codebook_size
  assert len(np.unique(ids)) > 8
  codes = quantizer.quantize(latents)
  assert (codes.shape, codes.dtype) == (latents.shape, jnp.float32)
  np.testing.assert_allclose(quantizer.ids_to_codes(ids), codes, atol=2e-6)


def test_every_code_has_its_id(case):
  quantizer, _ = case
  ids = np.arange(quantizer.codebook_size, dtype=np.int32)
  codes = np.asarray(quantizer.ids_to_codes(ids))
  assert len(np.unique(codes, axis=0)) == len(ids)
  if quantizer.kind == 'fsq':
    # Its latents are bounded by a tanh: codes of an even level are shifted.
    half, levels = np.array([2, 2, 1]), np.array([5, 4, 3])
    offset = np.where(levels % 2 == 0, 0.5, 0)
    reach = (levels - 1) * 1.001 / 2
    codes = np.arctanh((codes * half + offset) / reach) - np.arctanh(
      offset / reach
    )
  np.testing.assert_array_equal(quantizer.latents_to_ids(codes), ids)


def test_bfloat16_latents_are_quantized_in_float32(case):
  quantizer, latents = case
  low = latents.astype(jnp.bfloat16)
  exact = low.astype(jnp.float32)
  np.testing.assert_array_equal(
    quantizer.latents_to_ids(low), quantizer.latents_to_ids(exact)
  )
  assert quantizer.quantize(low).dtype == jnp.float32
  np.testing.assert_array_equal(
    quantizer.quantize(low), quantizer.quantize(exact)
  )


def test_gradients_reach_every_latent(case):
  quantizer, latents = case
  weights = np.random.default_rng(1).normal(size=latents.shape)
  gradient = jax.grad(
    lambda z: jnp.sum(quantizer.quantize(z) * weights.astype(np.float32))
  )(latents)
  assert np.isfinite(gradient).all() and (np.abs(gradient) > 1e-6).all()
  # At zero, too.
  at_zero = jax.grad(
    lambda z: (
      jnp.sum(quantizer.quantize(z))
      + sum(quantizer.terms(z).values(), jnp.float32(0))
    )
  )(jnp.zeros_like(latents))
  assert np.isfinite(at_zero).all()


def test_terms_are_those_of_its_names(case):
  quantizer, latents = case
  terms = quantizer.terms(latents, 0.5, 3)
  assert tuple(terms) == quantizer.term_names
  for value in terms.values():
    assert value.shape == () and value.dtype == jnp.float32 and value > 0
  # Temperature and groups act where there are entropies.
  others = quantizer.terms(latents, 2.0, 3)
  assert (terms != others) == ('token_entropy' in terms)


def test_usage_is_the_entropy_of_codes(case):
  quantizer, latents = case
  one = jnp.broadcast_to(latents[:1, :1, :1, :1], latents.shape)
  assert abs(float(quantizer.usage(one))) < 1e-6
  assert 0.2 < float(quantizer.usage(latents)) <= 1


def test_soft_codes_are_near_codes(case):
  quantizer, latents = case
  silent = quantizer.soften(latents, jnp.zeros_like(latents))
  gap = np.abs(silent - quantizer.quantize(latents))
  assert 0 < gap.mean() < (2.0 if quantizer.kind == 'vq' else 0.6)
  noise = np.random.default_rng(2).normal(size=latents.shape)
  noisy = quantizer.soften(latents, jnp.asarray(noise, jnp.float32))
  ratio = (noisy - silent) / noise
  assert (ratio > 0).all()
  # Of one dimension, the unit is the same at every latent.
  np.testing.assert_allclose(
    ratio, np.broadcast_to(ratio[0, 0, 0, 0], ratio.shape), rtol=1e-2
  )


def test_only_bits_have_expected_codes(case):
  quantizer, latents = case
  if not quantizer.has_bits:
    with pytest.raises(errors.ConfigError, match="'lfq' or 'bsq'"):
      quantizer.expected_codes(latents)
    return
  ids = quantizer.latents_to_ids(latents)
  bits = lfq.ids_to_codes(ids, quantizer.num_bits)
  np.testing.assert_allclose(
    quantizer.expected_codes(bits), quantizer.ids_to_codes(ids), rtol=1e-6
  )
