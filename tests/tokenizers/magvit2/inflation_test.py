"""An inflated image model equals the image model on images."""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.tokenizers.magvit2 import bundle
from videopoet_jax.tokenizers.magvit2 import discriminator
from videopoet_jax.tokenizers.magvit2 import inflation
from videopoet_jax.tokenizers.magvit2 import model


def _shapes(config):
  return nn.unbox(
    jax.eval_shape(lambda: bundle.init_params(config, jax.random.key(0)))
  )


@pytest.mark.parametrize('name', configs.BOTH)
def test_images_are_the_same_bit_for_bit(name):
  # A sum over taps, of which all but the last are exactly 0.
  video_config = dataclasses.replace(configs.BOTH[name], convolution='taps')
  image_config = dataclasses.replace(video_config, temporal_kernel=1)
  params = nn.unbox(
    jax.jit(lambda key: bundle.init_params(image_config, key))(
      jax.random.key(1)
    )
  )
  inflated = inflation.inflate(params, _shapes(video_config))
  assert jax.tree.map(jnp.shape, inflated) == jax.tree.map(
    lambda x: x.shape, _shapes(video_config)
  )
  image = jax.random.uniform(
    jax.random.key(2), (2, 1, 16, 16, 3), minval=-1.0, maxval=1.0
  )
  images = model.VisualTokenizerModel(image_config)
  videos = model.VisualTokenizerModel(video_config)
  for method in (None, 'latents'):
    one = images.apply({'params': params}, image, method=method)
    other = videos.apply({'params': inflated}, image, method=method)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize('convolution', ['native', 'stacked'])
def test_images_are_the_same_however_convolutions_are_computed(convolution):
  video_config = dataclasses.replace(
    configs.CONVOLUTIONAL, convolution=convolution
  )
  image_config = dataclasses.replace(video_config, temporal_kernel=1)
  params = nn.unbox(
    jax.jit(lambda key: bundle.init_params(image_config, key))(
      jax.random.key(1)
    )
  )
  inflated = inflation.inflate(params, _shapes(video_config))
  image = jax.random.uniform(jax.random.key(2), (1, 1, 16, 16, 3))
  one = model.VisualTokenizerModel(image_config).apply(
    {'params': params}, image, method='latents'
  )
  other = model.VisualTokenizerModel(video_config).apply(
    {'params': inflated}, image, method='latents'
  )
  np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_an_inflated_model_sees_the_newest_frame_of_a_group():
  image_config = dataclasses.replace(configs.CONVOLUTIONAL, temporal_kernel=1)
  params = nn.unbox(
    jax.jit(lambda key: bundle.init_params(image_config, key))(
      jax.random.key(1)
    )
  )
  inflated = inflation.inflate(params, _shapes(configs.CONVOLUTIONAL))
  videos = model.VisualTokenizerModel(configs.CONVOLUTIONAL)
  video = jax.random.uniform(jax.random.key(2), (1, 5, 16, 16, 3))
  latents = videos.apply({'params': inflated}, video, method='latents')
  last = videos.apply({'params': inflated}, video[:, 4:], method='latents')
  np.testing.assert_allclose(latents[:, 1], last[:, 0], atol=1e-5)


def test_a_discriminator_is_filled_at_the_centre():
  video_config = discriminator.DiscriminatorConfig(4, (1,))
  image_config = dataclasses.replace(video_config, temporal_kernel=1)
  clip = jax.random.uniform(jax.random.key(0), (1, 1, 8, 8, 3))
  image, video = (
    discriminator.Discriminator(config)
    for config in (image_config, video_config)
  )
  params = nn.unbox(image.init(jax.random.key(1), clip))
  shapes = nn.unbox(jax.eval_shape(video.init, jax.random.key(1), clip))
  inflated = inflation.inflate(params, shapes, causal=False)
  np.testing.assert_allclose(
    video.apply(inflated, clip), image.apply(params, clip), atol=1e-6
  )


def test_only_kernels_without_taps_are_inflated():
  assert inflation.is_inflation((1, 3, 3, 2, 4), (3, 3, 3, 2, 4))
  assert not inflation.is_inflation((3, 3, 3, 2, 4), (3, 3, 3, 2, 4))
  assert not inflation.is_inflation((1, 3, 3, 2, 4), (3, 3, 3, 2, 8))
  assert not inflation.is_inflation((1, 4), (3, 4))
