"""Configs of a language model: what goes together, and descriptions."""

import dataclasses
import json

import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.layers import embeddings
from videopoet_jax.models.prefix_lm import config as config_lib


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'num_heads': 6, 'num_kv_heads': 4}, 'it must divide num_heads=6'),
    ({'positions': 'rotary', 'head_dim': 7}, 'even for rotary'),
    ({'num_layers': 0}, 'num_layers is 0: it must be at least 1'),
    ({'cell_hidden': -1}, 'cell_hidden is -1'),
    ({'text_embedding_dim': 0}, 'text_embedding_dim is 0'),
    ({'text_encoder_layers': -1}, 'text_encoder_layers is -1'),
    ({'z_loss': -1e-9}, 'z_loss is'),
    ({'soft_cap': float('nan')}, 'soft_cap is nan'),
    ({'loss_chunk': -1}, 'loss_chunk is -1'),
    ({'activation': 'gleu'}, "'gleu'.*'gelu'"),
    ({'dtype': 'float16'}, "dtype is 'float16'"),
    ({'cell_inputs': ('neighbors',)}, "'neighbors'.*'neighbours'"),
    ({'place_limits': {'features': -1}}, 'features must be at least 0'),
    (
      {'visual_output': 'factors', 'loss_vocabulary': 'full'},
      'do not make one softmax',
    ),
    (
      {'positions': 't5_sequence', 'attention': 'splash'},
      'fused kernels add no bias',
    ),
    (
      {'positions': 't5_buckets', 'attention': 'splash'},
      'fused kernels add no bias',
    ),
  ],
)
def test_what_makes_no_sense_is_refused(fields, message):
  with pytest.raises(errors.ConfigError, match=message):
    config_lib.PrefixLMConfig(**fields)


def test_what_is_nearly_refused_is_allowed():
  config_lib.PrefixLMConfig(num_heads=6, num_kv_heads=3)
  config_lib.PrefixLMConfig(positions='learned_3d', head_dim=7)
  config_lib.PrefixLMConfig(positions='rotary', attention='splash')
  config_lib.PrefixLMConfig(visual_output='factors', loss_vocabulary='segment')
  config_lib.PrefixLMConfig(z_loss=0.0, soft_cap=0.0, text_encoder_layers=0)


def test_json_comes_back_as_tuples():
  config = small.config(
    place_limits=embeddings.PlaceLimits(visual=(4, 5, 6), features=3)
  )
  described = json.loads(json.dumps(config_lib.to_description(config)))
  found = config_lib.from_description(described)
  assert found == config
  assert found.place_limits.visual == (4, 5, 6)
  assert found.cell_inputs == config.cell_inputs
  assert hash(found) == hash(config)


def test_unknown_settings_are_of_a_newer_version():
  described = config_lib.to_description(small.config())
  with pytest.raises(errors.CheckpointError, match=r"settings \['new'\]"):
    config_lib.from_description({**described, 'new': 1})


@pytest.mark.parametrize(
  ('positions', 'features', 'earlier', 'written'),
  [
    ('learned_3d', 16, False, 'learned_3d'),
    ('learned_3d', 0, True, 'learned_3d'),
    ('t5_buckets', 16, False, 't5_buckets'),
    ('t5_sequence', 0, True, 't5_buckets'),
    ('t5_buckets', 0, False, 't5_buckets'),
  ],
)
def test_models_from_before_identities(positions, features, earlier, written):
  config = small.config(
    positions=positions,
    place_limits=embeddings.PlaceLimits(features=features),
  )
  assert config.is_earlier is earlier
  described = config_lib.to_description(config)
  assert ('features' in described['place_limits']) is not earlier
  assert described['positions'] == written
  assert config_lib.from_description(described) == config


def test_ids_without_bits_need_a_table_and_a_softmax():
  odd = vocabulary_lib.Vocabulary(visual_size=100)
  plain = small.config(visual_input='table', visual_output='softmax')
  plain.check(odd)
  for field, value in (('visual_input', 'bits'), ('visual_output', 'factors')):
    config = dataclasses.replace(plain, **{field: value})
    config.check(small.SPACE.vocabulary)
    with pytest.raises(errors.ConfigError, match='visual_size=100 is not a'):
      config.check(odd)


def test_layouts_fit_the_tables_and_the_text():
  layout = small.SPACE.layout(f'text_to_video/{small.SIZE}')
  vocabulary = small.SPACE.vocabulary
  small.config().check(vocabulary, (layout,))
  few = small.config(place_limits=embeddings.PlaceLimits(visual=(2, 9, 9)))
  with pytest.raises(errors.ConfigError, match='raise PrefixLMConfig.place'):
    few.check(vocabulary, (layout,))
  # Rotary positions have no rows of places.
  rotary = dataclasses.replace(few, positions='rotary')
  rotary.check(vocabulary, (layout,))
  twice = tasks.TaskTemplate('two', 'video', ('text', 'text:title'))
  space = dataclasses.replace(small.SPACE, templates=(twice,))
  layout = space.layout(f'two/{small.SIZE}')
  small.config(text='tokens').check(vocabulary, (layout,))
  with pytest.raises(errors.ConfigError, match='has 2 texts'):
    small.config(text='embeddings').check(vocabulary, (layout,))
