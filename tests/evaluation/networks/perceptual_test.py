"""The perceptual distance of frames, on random weights of a real network."""

import numpy as np
import pytest
import safetensors.numpy

from tests.losses.perceptual import random_weights
from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import perceptual as metrics
from videopoet_jax.evaluation.networks import catalogue
from videopoet_jax.evaluation.networks import paths
from videopoet_jax.losses.perceptual import backbones
from videopoet_jax.losses.perceptual import distance

_BACKBONE = 'efficientnet_lite0'


@pytest.fixture(scope='module', name='weights')
def _weights(tmp_path_factory):
  path = tmp_path_factory.mktemp('weights') / 'lite0.safetensors'
  safetensors.numpy.save_file(random_weights.of(_BACKBONE), path)
  return str(path)


def _load(weights):
  return catalogue.load(
    f'perceptual_{_BACKBONE}', paths.NetworkPaths(perceptual=weights)
  )


def test_it_is_the_distance_of_the_loss_frame_by_frame(weights):
  network = _load(weights)
  generator = np.random.default_rng(0)
  one, other = generator.integers(0, 256, (2, 9, 32, 32, 3), np.uint8)
  found = network(one, other)
  assert found.shape == (9,) and found.dtype == np.float32
  loss = distance.PerceptualDistance(_BACKBONE, random_weights.of(_BACKBONE))
  for row in (0, 8):
    levels = [
      x[row : row + 1].astype(np.float32) / 127.5 - 1 for x in (one, other)
    ]
    assert found[row] == pytest.approx(float(loss(*levels)), rel=1e-4)
  # Neither the batch nor a frame's place in it matters.
  np.testing.assert_array_equal(network(one[5:7], other[5:7]), found[5:7])
  metric = metrics.LPIPS(network, 'perceptual')
  measured = metric.measure({'generated': one[None], 'real': other[None]})
  assert measured['value'][0] == pytest.approx(found.mean(), rel=1e-5)
  assert network(one[:1], one[:1])[0] < 1e-10 < found.min()


def test_every_backbone_is_a_network():
  assert catalogue.PERCEPTUAL == tuple(
    f'perceptual_{name}' for name in backbones.BACKBONES
  )
  assert set(catalogue.PERCEPTUAL) <= set(catalogue.NAMES)


def test_missing_weights_are_one_message(tmp_path):
  with pytest.raises(errors.ConfigError, match=r'NetworkPaths\.perceptual='):
    catalogue.load('perceptual_vgg16')
  with pytest.raises(errors.ConfigError, match='does not exist'):
    _load(str(tmp_path / 'none.pth'))


def test_the_fingerprint_is_of_the_weights(weights, tmp_path):
  other = random_weights.of(_BACKBONE)
  other = {name: array + 1 for name, array in other.items()}
  np.savez(tmp_path / 'other.npz', **other)
  assert _load(weights).fingerprint == _load(weights).fingerprint
  assert (
    _load(weights).fingerprint != _load(str(tmp_path / 'other.npz')).fingerprint
  )
