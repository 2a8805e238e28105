"""Tests of the visual tokenizer with each kind of quantizer."""

import dataclasses

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.core import errors
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.magvit2 import bundle

SETTINGS = {
  'bsq': {'quantizer': 'bsq'},
  'fsq': {'quantizer': 'fsq', 'num_bits': 18, 'fsq_levels': (5, 4, 3)},
  'vq': {
    'quantizer': 'vq',
    'num_bits': 18,
    'vq_codebook_size': 24,
    'vq_code_dim': 4,
  },
}


def make(kind, network='patch'):
  config = dataclasses.replace(configs.BOTH[network], **SETTINGS[kind])
  params = jax.jit(lambda key: nn.unbox(bundle.init_params(config, key)))(
    jax.random.key(0)
  )
  return bundle.VisualTokenizer(config, params)


def _video():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (2, 5, 32, 32, 3), np.uint8)


@pytest.mark.parametrize('kind', SETTINGS)
def test_a_folder_encodes_and_decodes_by_its_quantizer(kind, tmp_path):
  tokenizer = make(kind)
  tokenizer.save(tmp_path)
  tokenizer = interface.load(tmp_path)
  assert tokenizer.config.quantizer == kind
  video = _video()
  ids = tokenizer.encode(video)
  assert ids.shape == (2, 2, 4, 4) and ids.dtype == np.int32
  assert len(np.unique(ids)) > 3
  assert ids.max() < tokenizer.spec.codebook_size
  # As training sees it: the same codes, so the same video.
  trained, latents = tokenizer.module.apply(
    {'params': tokenizer.params}, bundle.from_pixels(video)
  )
  assert latents.shape == (2, 2, 4, 4, tokenizer.config.code_channels)
  np.testing.assert_allclose(
    tokenizer.decode(ids), np.clip(trained, -1, 1), atol=1e-4
  )
  with pytest.raises(errors.LayoutError, match='outside'):
    tokenizer.decode(np.full((1, 1, 1, 1), tokenizer.spec.codebook_size))


@pytest.mark.parametrize('kind', SETTINGS)
def test_the_convolutional_network_takes_every_kind(kind):
  config = dataclasses.replace(configs.CONVOLUTIONAL, **SETTINGS[kind])
  params = jax.eval_shape(
    lambda key: nn.unbox(bundle.init_params(config, key)), jax.random.key(0)
  )
  module = bundle.VisualTokenizer(config, params).module
  video = jax.ShapeDtypeStruct((1, 9, 16, 16, 3), jnp.float32)
  ids = jax.eval_shape(
    lambda p, x: module.apply({'params': p}, x, method='encode'), params, video
  )
  assert ids.shape == (1, 3, 2, 2)
  out = jax.eval_shape(
    lambda p, x: module.apply({'params': p}, x, method='decode'), params, ids
  )
  assert out.shape == video.shape
  assert ('quantizer' in params) == (kind == 'vq')


def test_expected_bits_are_decoded_where_there_are_bits():
  tokenizer = make('bsq')
  ids = tokenizer.encode(_video())
  bits = np.where((ids[..., None] >> np.arange(6)) & 1, 1.0, -1.0)
  np.testing.assert_allclose(
    tokenizer.decode_codes(bits.astype(np.float32)),
    tokenizer.decode(ids),
    atol=1e-5,
  )
  for kind in ('fsq', 'vq'):
    other = make(kind)
    codes = np.zeros((1, 1, 2, 2, other.config.code_channels), np.float32)
    with pytest.raises(errors.ConfigError, match='expected codes'):
      other.decode_codes(codes)
