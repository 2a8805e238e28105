"""Tests of the entropy and commitment terms."""

import itertools

import jax
from jax.extend import core
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.losses import lookup_free
from videopoet_jax.tokenizers.quantizers import bsq
from videopoet_jax.tokenizers.quantizers import lfq


def _by_enumeration(latents, inverse_temperature):
  """Both entropies over all codes at once, in float64."""
  codes = np.array(
    list(itertools.product((-1.0, 1.0), repeat=latents.shape[-1]))
  )
  logits = 2.0 * inverse_temperature * latents.astype(np.float64) @ codes.T
  logits -= logits.max(axis=-1, keepdims=True)
  probabilities = np.exp(logits)
  probabilities /= probabilities.sum(axis=-1, keepdims=True)

  def entropy(p):
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), -1)

  return entropy(probabilities).mean(), entropy(probabilities.mean(axis=0))


@pytest.mark.parametrize('inverse_temperature', [0.2, 1.0, 100.0])
def test_one_group_is_exact(inverse_temperature):
  latents = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
  token, codebook = _by_enumeration(latents, inverse_temperature)
  terms = lookup_free.entropy_terms(latents, inverse_temperature, 5)
  np.testing.assert_allclose(terms.token, token, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(terms.codebook, codebook, rtol=1e-4)


def test_groups_bound_the_codebook_entropy_from_above():
  latents = np.random.default_rng(1).normal(size=(30, 6)).astype(np.float32)
  latents[:, 3:] = latents[:, :3]  # Bits that agree say nothing new.
  one = lookup_free.entropy_terms(latents, 5.0, 6)
  two = lookup_free.entropy_terms(latents, 5.0, 3)
  np.testing.assert_allclose(one.token, two.token, rtol=1e-5)
  assert two.codebook > 1.5 * one.codebook


def test_independent_groups_add_up():
  signs = np.array(list(itertools.product((-1.0, 1.0), repeat=4)), np.float32)
  for group_bits in (1, 2, 3, 4):
    terms = lookup_free.entropy_terms(signs * 9.0, 1.0, group_bits)
    np.testing.assert_allclose(terms.codebook, 4 * np.log(2.0), rtol=1e-5)
    np.testing.assert_allclose(terms.token, 0.0, atol=1e-5)


def _sizes(jaxpr):
  """Elements of every intermediate array, those of inner programs too."""
  for equation in jaxpr.eqns:
    for variable in equation.outvars:
      yield int(np.prod(variable.aval.shape, dtype=np.int64))
    for inner in core.jaxprs_in_params(equation.params):
      yield from _sizes(inner)


@pytest.mark.parametrize('group_bits', [9, 12])
@pytest.mark.parametrize('num_bits', [18, 36])
@pytest.mark.parametrize('kind', ['lfq', 'bsq'])
def test_no_array_grows_with_the_number_of_codes(kind, num_bits, group_bits):
  number = 4096
  module = {
    'lfq': lfq.LookupFreeQuantizer,
    'bsq': bsq.BinarySphericalQuantizer,
  }[kind](num_bits)

  def loss(latents):
    terms = module.terms(latents, 1.0, group_bits)
    return sum(terms.values(), module.usage(latents))

  latents = jax.ShapeDtypeStruct((number, num_bits), jnp.float32)
  jaxpr = jax.make_jaxpr(jax.value_and_grad(loss))(latents)
  most = max(_sizes(jaxpr.jaxpr))
  # The latents themselves have `num_bits` numbers each.
  assert most <= max(
    number * 2 ** -(-group_bits // 2), number * num_bits, 2**group_bits
  )
  # Sizes of inner programs are counted: the latents' own are among them.
  assert most >= number * num_bits


def test_gradients_are_finite_at_certainty():
  latents = jnp.array([[80.0, -80.0], [80.0, -80.0]])
  gradient = jax.grad(lambda z: sum(lookup_free.entropy_terms(z, 10.0)))(
    latents
  )
  assert np.isfinite(gradient).all()


def test_split_is_even():
  assert lookup_free.split_bits(18, 8) == (6, 6, 6)
  assert lookup_free.split_bits(18, 9) == (9, 9)
  assert lookup_free.split_bits(10, 9) == (5, 5)
  assert lookup_free.split_bits(7, 3) == (3, 2, 2)


def test_commitment_pulls_latents_to_their_codes():
  latents = jnp.array([[0.5, -3.0]])
  np.testing.assert_allclose(lookup_free.commitment(latents), (0.25 + 4.0) / 2)
  gradient = jax.grad(lookup_free.commitment)(latents)
  np.testing.assert_allclose(gradient, [[-0.5, -2.0]])


def test_commitment_by_hand():
  # 0 and what is below it belong to -1, whatever the size.
  latents = jnp.array([[-0.5, 0.25], [2.0, -3.0], [0.0, 1.0]])
  distances = [0.25, 0.5625, 1.0, 4.0, 1.0, 0.0]
  assert float(lookup_free.commitment(latents)) == pytest.approx(
    np.mean(distances)
  )


@pytest.mark.parametrize(('num_bits', 'other'), [(9, 8), (10, 10)])
def test_defaults_are_nine_bits_a_group_at_temperature_1(num_bits, other):
  generator = np.random.default_rng(3)
  latents = generator.normal(size=(20, num_bits)).astype(np.float32)
  found = lookup_free.entropy_terms(latents)
  wanted = lookup_free.entropy_terms(latents, 1.0, 9)
  grouped = lookup_free.entropy_terms(latents, 1.0, other)
  assert float(found.codebook) == float(wanted.codebook)
  assert float(found.token) == float(wanted.token)
  assert float(found.codebook) != float(grouped.codebook)


@pytest.mark.parametrize('bits', [(0, 9), (9, 0), (-1, -1)])
def test_no_bits_cannot_be_split(bits):
  with pytest.raises(ValueError, match='cannot split'):
    lookup_free.split_bits(*bits)


def test_one_bit_is_one_group():
  assert lookup_free.split_bits(1, 1) == (1,)
  assert lookup_free.split_bits(1, 9) == (1,)
