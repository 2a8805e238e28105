"""Layers of pretrained networks against values computed by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.losses.perceptual import operators


def _images(*shape):
  rng = np.random.default_rng(0)
  return rng.normal(size=shape).astype(np.float32)


def test_convolution_reads_pytorch_kernels():
  images = _images(1, 4, 4, 2)
  kernel = _images(3, 2, 3, 3)
  bias = np.array([1.0, 2.0, 3.0], np.float32)
  found = operators.convolution(
    jnp.asarray(images), {'c.weight': kernel, 'c.bias': bias}, 'c'
  )
  assert found.shape == (1, 2, 2, 3)
  window = images[0, 1:4, :3]  # Row 1, column 0.
  expected = np.einsum('hwi,oihw->o', window, kernel) + bias
  np.testing.assert_allclose(found[0, 1, 0], expected, rtol=1e-4)


def test_groups_keep_channels_apart():
  images = _images(1, 3, 3, 2)
  kernel = np.ones((2, 1, 3, 3), np.float32)
  found = operators.convolution(
    jnp.asarray(images), {'c.weight': kernel}, 'c', groups=2
  )
  np.testing.assert_allclose(found[0, 0, 0], images[0].sum((0, 1)), rtol=1e-4)


@pytest.mark.parametrize(
  ('size', 'kernel', 'stride', 'expected'),
  [
    ((224, 7), 3, 2, ((0, 1), (1, 1))),
    ((8, 8), 5, 1, ((2, 2), (2, 2))),
    ((9, 8), 5, 2, ((2, 2), (1, 2))),
  ],
)
def test_same_padding_is_tensorflows(size, kernel, stride, expected):
  assert operators.same_padding(size, kernel, stride) == expected


def test_norms():
  images = _images(2, 2, 2, 3)
  weights = {
    'n.weight': np.array([1.0, 2.0, 3.0]),
    'n.bias': np.array([0.5, 0.0, -0.5]),
    'n.running_mean': np.array([1.0, 0.0, 2.0]),
    'n.running_var': np.array([4.0, 1.0, 0.25]),
  }
  batch = operators.batch_norm(jnp.asarray(images), weights, 'n', 0.0)
  np.testing.assert_allclose(
    batch[..., 2], (images[..., 2] - 2.0) / 0.5 * 3.0 - 0.5, rtol=1e-4
  )
  layer = operators.layer_norm(jnp.asarray(images), weights, 'n', 0.0)
  normal = (images - images.mean(-1, keepdims=True)) / images.std(
    -1, keepdims=True
  )
  np.testing.assert_allclose(
    layer,
    normal * weights['n.weight'] + weights['n.bias'],
    rtol=1e-3,
    atol=1e-5,
  )


def test_max_pool_pads_with_nothing():
  images = -np.ones((1, 4, 4, 1), np.float32)
  images[0, 1, 2] = 5.0
  plain = np.asarray(operators.max_pool(jnp.asarray(images), 2, 2))[0, ..., 0]
  np.testing.assert_array_equal(plain, [[-1, 5], [-1, -1]])
  padded = operators.max_pool(jnp.asarray(images), 3, 2, 1)
  # A border of zeros would win over -1.
  assert padded.shape == (1, 2, 2, 1) and float(padded.min()) == -1.0


def test_linear_has_pytorch_kernels():
  weights = {'f.weight': _images(2, 3), 'f.bias': np.ones(2, np.float32)}
  values = _images(4, 3)
  np.testing.assert_allclose(
    operators.linear(jnp.asarray(values), weights, 'f'),
    values @ weights['f.weight'].T + 1.0,
    rtol=1e-4,
    atol=1e-5,
  )
