"""Causal 1-D convolutions against sums written out, and their causality."""

import jax
import numpy as np
import pytest

from videopoet_jax.layers import causal_conv1d


def _signal(time=24, channels=3):
  return np.random.default_rng(0).normal(size=(2, time, channels)).astype('f4')


def _kernel_and_bias(params):
  params = jax.tree.map(np.asarray, jax.tree.leaves(params))
  bias = next(p for p in params if p.ndim == 1)
  return next(p for p in params if p.ndim == 3), bias


@pytest.mark.parametrize(
  ('kernel_size', 'stride', 'dilation'),
  [(3, 1, 1), (7, 1, 3), (1, 1, 1), (4, 2, 1), (8, 4, 1)],
)
def test_convolution_equals_the_sum(kernel_size, stride, dilation):
  module = causal_conv1d.CausalConv1D(5, kernel_size, stride, dilation)
  x = _signal()
  y, params = module.init_with_output(jax.random.key(0), x)
  kernel, bias = _kernel_and_bias(params)
  assert y.shape == (2, 24 // stride, 5)
  expected = np.zeros_like(y) + bias
  for frame in range(y.shape[1]):
    for tap in range(kernel_size):
      last = (frame + 1) * stride - 1
      at = last - (kernel_size - 1 - tap) * dilation
      if at >= 0:
        expected[:, frame] += x[:, at] @ kernel[tap]
  np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(('kernel_size', 'stride'), [(4, 2), (6, 3), (3, 3)])
def test_transposed_convolution_equals_the_sum(kernel_size, stride):
  module = causal_conv1d.CausalTransposedConv1D(4, kernel_size, stride)
  x = _signal(7)
  y, params = module.init_with_output(jax.random.key(0), x)
  kernel, bias = _kernel_and_bias(params)
  assert y.shape == (2, 7 * stride, 4)
  expected = np.zeros_like(y) + bias
  for frame in range(7):
    for tap in range(kernel_size):
      at = frame * stride + kernel_size - 1 - tap
      if at < y.shape[1]:
        expected[:, at] += x[:, frame] @ kernel[tap]
  np.testing.assert_allclose(y, expected, atol=1e-5)


def test_a_prefix_gives_a_prefix():
  x = _signal(24)
  module = causal_conv1d.CausalConv1D(5, 8, stride=4)
  whole, params = module.init_with_output(jax.random.key(0), x)
  part = module.apply(params, x[:, :12])
  np.testing.assert_allclose(whole[:, :3], part, atol=1e-6)
