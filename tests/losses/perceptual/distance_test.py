"""The perceptual distance, on random weights of the real networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses.perceptual import random_weights
from videopoet_jax.core import errors
from videopoet_jax.losses.perceptual import backbones
from videopoet_jax.losses.perceptual import distance


def _clips(seed):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.uniform(-1, 1, (1, 2, 32, 32, 3)), jnp.float32)


def _lite0(**settings):
  return distance.PerceptualDistance(
    'efficientnet_lite0', random_weights.of('efficientnet_lite0'), **settings
  )


def test_equal_clips_have_no_distance_and_others_have_one():
  perceptual = _lite0()
  assert perceptual(_clips(0), _clips(0)) == 0.0
  near = 0.9 * _clips(0) + 0.1 * _clips(1)
  assert 0 < perceptual(near, _clips(0)) < perceptual(_clips(1), _clips(0))


def test_gradient_reaches_the_first_argument_alone():
  perceptual = _lite0()
  ours, theirs = jax.grad(perceptual, argnums=(0, 1))(_clips(0), _clips(1))
  assert np.isfinite(ours).all() and np.abs(np.asarray(ours)).max() > 0
  assert not np.asarray(theirs).any()
  # Where both are equal, lengths of vectors must not divide by zero.
  assert np.isfinite(jax.grad(perceptual)(_clips(0), _clips(0))).all()


def test_frames_are_compared_one_by_one():
  perceptual = _lite0()
  out, truth = _clips(0), _clips(1)
  each = [perceptual(out[:, t], truth[:, t]) for t in range(2)]
  np.testing.assert_allclose(perceptual(out, truth), np.mean(each), rtol=1e-4)


def test_logits_are_compared_by_their_mean_square():
  perceptual = _lite0(layers=('logits',))
  out, truth = _clips(0)[:, 0], _clips(1)[:, 0]
  backbone = backbones.BACKBONES['efficientnet_lite0']
  found = [
    backbone.features(
      random_weights.of('efficientnet_lite0'), (127.5 * (x + 1) - 127) / 128
    )['logits']
    for x in (out, truth)
  ]
  np.testing.assert_allclose(
    perceptual(out, truth), np.square(found[0] - found[1]).mean(), rtol=1e-3
  )


def test_wrong_weights_are_refused_by_name():
  weights = dict(random_weights.of('efficientnet_lite0'))
  with pytest.raises(errors.ConfigError, match="perceptual network 'lite'"):
    distance.PerceptualDistance('lite', weights)
  del weights['_blocks.3._bn1.running_var']
  with pytest.raises(errors.ConfigError, match=r'a\.pth has no .*_blocks\.3'):
    distance.PerceptualDistance('efficientnet_lite0', weights, source='a.pth')
  weights = dict(random_weights.of('efficientnet_lite0'))
  weights['_conv_stem.weight'] = weights['_conv_stem.weight'][:, :2]
  with pytest.raises(errors.ConfigError, match='shapes in a.pth'):
    distance.PerceptualDistance('efficientnet_lite0', weights, source='a.pth')
  with pytest.raises(errors.ConfigError, match="no layer 'stage_9'"):
    _lite0(layers=('stage_9',))
  with pytest.raises(errors.ConfigError, match='heads'):
    _lite0(heads={'lin0.model.1.weight': np.ones((1, 64, 1, 1))})
