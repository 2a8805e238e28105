"""The parts of runs that train tokenizers."""

import pytest

from videopoet_jax.core import config
from videopoet_jax.core import gin_state
from videopoet_jax.experiments import experiment
from videopoet_jax.experiments import tokenizers
from videopoet_jax.shapes import builder
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.tokenizers.soundstream import config as soundstream_config
from videopoet_jax.training import audio_tokenizer
from videopoet_jax.training import visual_tokenizer


@pytest.mark.parametrize('held_out', [0, 4])
def test_a_run_goes_on_without_held_out_clips(tmp_path, held_out):
  media = builder.build(
    str(tmp_path),
    builder.ShapesBuilderConfig(
      name='tiny',
      shapes=shapes_config.ShapesConfig(frames=5, height=16, width=16),
      train=8,
      validation=held_out,
      test_held_out=0,
      processes=1,
    ),
  )
  parts = tokenizers.audio_tokenizer(
    config=soundstream_config.tiny(),
    recipe=audio_tokenizer.AudioTokenizerRecipe(),
    media=media,
    batch_size=4,
  )
  if held_out:
    assert parts.validation is not None and not parts.notes
  else:
    assert parts.validation is None
    (note,) = parts.notes
    assert 'no validation: ' in note and "no split 'validation'" in note


@pytest.mark.parametrize(
  ('kind', 'codes'), [('bsq', 4096), ('fsq', 4375), ('vq', 4096)]
)
def test_files_of_quantizers_follow_that_of_a_tokenizer(kind, codes):
  with gin_state.isolated():
    config.parse(
      ['gin/tokenizers/visual_tiny.gin', f'gin/tokenizers/quantizer_{kind}.gin']
    )
    made = config.call(experiment.VisualTokenizerConfig)
    recipe = config.call(experiment.VisualTokenizerRecipe)
  assert made.quantizer == kind and made.architecture == 'patch'
  assert made.spec.codebook_size == codes
  # The trainer takes them: no weight is without its term.
  visual_tokenizer.VisualTokenizerTrainable(made, recipe)
