"""Tests of look-up-free quantization."""

import hypothesis
from hypothesis import strategies
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.tokenizers.quantizers import lfq


def test_index_is_sum_of_powers_of_positive_dimensions():
  latents = jnp.array([[0.5, -1.0, 3.0], [-0.1, 0.2, -4.0], [0.0, 0.0, 0.0]])
  np.testing.assert_array_equal(lfq.latents_to_ids(latents), [5, 2, 0])


def test_codes_are_signs_and_zero_is_negative():
  latents = jnp.array([[0.5, -1.0, 0.0]], jnp.bfloat16)
  codes = lfq.quantize(latents)
  assert codes.dtype == jnp.float32
  np.testing.assert_array_equal(codes, [[1.0, -1.0, -1.0]])


def test_gradient_goes_straight_through():
  latents = jnp.array([[0.5, -1.0, 7.0]])
  gradient = jax.grad(lambda z: jnp.sum(3.0 * lfq.quantize(z)))(latents)
  np.testing.assert_array_equal(gradient, [[3.0, 3.0, 3.0]])


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(strategies.sampled_from((1, 12, 18, 24)), strategies.data())
def test_ids_and_bits_are_inverse(num_bits, data):
  ids = np.array(
    data.draw(
      strategies.lists(
        strategies.integers(0, 2**num_bits - 1), min_size=4, max_size=4
      )
    ),
    np.int32,
  ).reshape(2, 2)
  bits = np.asarray(lfq.ids_to_bits(ids, num_bits))
  assert bits.shape == (2, 2, num_bits)
  np.testing.assert_array_equal(lfq.bits_to_ids(bits), ids)
  codes = lfq.ids_to_codes(ids, num_bits)
  np.testing.assert_array_equal(codes, bits * 2.0 - 1.0)
  np.testing.assert_array_equal(lfq.latents_to_ids(codes), ids)
