"""Sizes by name: what they are, and the parameters that they count."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.models.prefix_lm import presets


@pytest.mark.parametrize(
  ('name', 'millions'), [('300m', 300), ('1b', 1000), ('8b', 8000)]
)
def test_a_name_counts_parameters_without_embeddings(name, millions):
  config = presets.preset(name)
  attention = config.width * config.head_dim * 2
  attention *= config.num_heads + config.num_kv_heads
  mlp = 3 * config.width * config.mlp_dim
  total = config.num_layers * (attention + mlp)
  assert total / 1e6 == pytest.approx(millions, rel=0.08)
  assert config.num_heads * config.head_dim == config.width


@pytest.mark.parametrize('name', presets.NAMES)
def test_every_preset_is_a_config_of_the_papers_vocabulary(name):
  config = presets.preset(name)
  config.check(vocabulary_lib.Vocabulary())
  is_ul2 = name.endswith('_ul2')
  assert (config.positions == 't5_buckets') is is_ul2
  assert (config.activation == 'silu') is is_ul2
  assert config.qk_norm is not is_ul2


def test_names_come_with_their_variants():
  assert presets.NAMES == (
    'tiny', '300m', '1b', '8b', 'tiny_ul2', '300m_ul2', '1b_ul2', '8b_ul2',
  )  # fmt: skip


def test_single_settings_are_changed_last():
  config = presets.preset('1b_ul2', activation='relu', num_layers=2)
  assert (config.activation, config.num_layers) == ('relu', 2)
  assert config.width == presets.preset('1b').width
  with pytest.raises(errors.ConfigError, match="no model preset '2b'"):
    presets.preset('2b')
  with pytest.raises(errors.ConfigError, match="no field 'layers'"):
    presets.preset('1b', layers=2)
