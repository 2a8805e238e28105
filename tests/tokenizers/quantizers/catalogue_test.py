"""Tests of the settings of quantizers."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.tokenizers.quantizers import catalogue

_VQ = {'quantizer': 'vq', 'vq_codebook_size': 1000, 'vq_code_dim': 8}


@pytest.mark.parametrize(
  ('settings', 'codes', 'channels', 'has_bits'),
  [
    ({}, 2**18, 18, True),
    ({'quantizer': 'bsq', 'num_bits': 12}, 2**12, 12, True),
    ({'quantizer': 'fsq', 'fsq_levels': [7, 5, 5, 5, 5]}, 4375, 5, False),
    (_VQ, 1000, 8, False),
    ({**_VQ, 'vq_gradient': 'rotation'}, 1000, 8, False),
  ],
)
def test_sizes_follow_the_kind(settings, codes, channels, has_bits):
  config = config_lib.VisualTokenizerConfig(**settings)
  assert config.spec.codebook_size == codes
  assert config.spec.has_bits == has_bits
  assert config.code_channels == channels
  assert config.make_quantizer().kind == settings.get('quantizer', 'lfq')


def test_every_kind_is_made():
  made = [
    config_lib.VisualTokenizerConfig(**settings).make_quantizer().kind
    for settings in (
      {},
      {'quantizer': 'bsq'},
      {'quantizer': 'fsq', 'fsq_levels': (3,)},
      _VQ,
    )
  ]
  assert tuple(made) == catalogue.KINDS


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'quantizer': 'lfp'}, 'did you mean'),
    ({'fsq_levels': (5, 5)}, 'fsq_levels.*cannot act.*acts with fsq'),
    ({'vq_code_dim': 8}, 'vq_code_dim.*cannot act.*default, 0'),
    ({'vq_gradient': 'rotation'}, 'vq_gradient.*cannot act'),
    ({**_VQ, 'num_bits': 12}, 'num_bits.*lfq and bsq.*default, 18'),
    ({'quantizer': 'bsq', 'normalize_latents': True}, 'normalize_latents'),
    ({**_VQ, 'vq_codebook_size': 1}, 'vq_codebook_size is 1'),
    ({**_VQ, 'vq_code_dim': 0}, 'vq_code_dim is 0'),
    ({**_VQ, 'vq_gradient': 'rotate'}, 'vq_gradient'),
    ({'quantizer': 'fsq'}, 'fsq_levels'),
    ({'quantizer': 'fsq', 'fsq_levels': (5, 2)}, 'at least 3'),
    ({'quantizer': 'fsq', 'fsq_levels': (8,) * 9}, '16777216'),
    ({'quantizer': 'bsq', 'num_bits': 25}, 'from 1 to 24'),
  ],
)
def test_what_cannot_act_is_refused(settings, message):
  with pytest.raises(errors.ConfigError, match=message):
    config_lib.VisualTokenizerConfig(**settings)
