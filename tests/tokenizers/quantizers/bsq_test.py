"""Tests of binary spherical quantization."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.tokenizers.quantizers import bsq
from videopoet_jax.tokenizers.quantizers import lfq


def test_codes_are_the_nearest_corners_on_the_sphere():
  quantizer = bsq.BinarySphericalQuantizer(4)
  latents = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
  codes = np.asarray(quantizer.quantize(jnp.asarray(latents)))
  corners = np.array(list(itertools.product((-0.5, 0.5), repeat=4)))
  gaps = np.square(latents[:, None] - corners[None]).sum(-1)
  np.testing.assert_allclose(codes, corners[gaps.argmin(1)], atol=1e-6)
  np.testing.assert_allclose(np.linalg.norm(codes, axis=-1), 1.0, rtol=1e-6)


def test_length_does_not_matter():
  quantizer = bsq.BinarySphericalQuantizer(6)
  latents = jax.random.normal(jax.random.key(0), (20, 6))
  for mine, other in zip(
    quantizer.terms(latents).values(), quantizer.terms(7.0 * latents).values()
  ):
    np.testing.assert_allclose(mine, other, rtol=1e-4)
  np.testing.assert_array_equal(
    quantizer.latents_to_ids(latents), lfq.latents_to_ids(7.0 * latents)
  )


def test_entropy_bit_by_bit_is_the_papers():
  # Equation 9 of the paper: probabilities sigmoid(2 tau u_i c_i), where tau is
  # twice the inverse temperature here.
  quantizer = bsq.BinarySphericalQuantizer(5)
  latents = np.random.default_rng(0).normal(size=(40, 5))
  points = latents / np.linalg.norm(latents, axis=-1, keepdims=True)
  tau = 2 * 3.0
  positive = 1 / (1 + np.exp(-2 * tau * points / np.sqrt(5)))

  def entropy(p):
    return -(p * np.log(p) + (1 - p) * np.log(1 - p))

  terms = quantizer.terms(jnp.asarray(latents, jnp.float32), 3.0, 1)
  np.testing.assert_allclose(
    terms['token_entropy'], entropy(positive).sum(-1).mean(), rtol=1e-5
  )
  np.testing.assert_allclose(
    terms['codebook_entropy'], entropy(positive.mean(0)).sum(), rtol=1e-5
  )
