"""Checkpoints from before features had identities, opened for generation."""

import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.inference import conditions
from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.layers import embeddings
from videopoet_jax.models.prefix_lm import model as model_lib


def test_a_layout_whose_conditions_look_the_same_is_refused():
  names = tuple(
    f'stylization/{small.SIZE}{option}' for option in ('', '/image=1')
  )
  config = small.config(place_limits=embeddings.PlaceLimits(features=0))
  generator = generator_lib.Generator(
    model_lib.PrefixLM(config, small.SPACE.vocabulary),
    {},
    small.SPACE,
    names,
    conditions.Tokenizers(),
  )
  assert generator.layout(names[0]).name == names[0]
  with pytest.raises(
    errors.ConfigError,
    match="'structure_tokens_i' and 'video_tokens_i' look the same",
  ):
    generator.layout(names[1])
