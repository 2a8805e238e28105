"""A language model so small that a test compiles it in seconds."""

from typing import Any

import numpy as np

from tests.models import drawn
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import model as model_lib

SPACE = tasks.LayoutSpace(
  vocabulary_lib.Vocabulary(
    visual_size=64, audio_levels=2, audio_codes=16, text_size=20
  ),
  specs.VisualSpec(codebook_size=64, spatial_stride=8),
  specs.AudioSpec(levels=2, codes=16, sampling_rate=800, hop=400),
  text_slots=3,
)
SIZE = '9x16x8'  # 3 x 2 x 1 cells.


def config(**changes: Any) -> config_lib.PrefixLMConfig:
  settings = {
    'num_layers': 2,
    'width': 16,
    'num_heads': 4,
    'num_kv_heads': 2,
    'head_dim': 8,
    'mlp_dim': 24,
    'visual_input': 'bits',
    'visual_output': 'factors',
    'cell_inputs': ('neighbours', 'condition', 'sound', 'echo', 'sight'),
    'text_encoder_layers': 1,
    'text_embedding_dim': 5,
  }
  return config_lib.PrefixLMConfig(**{**settings, **changes})


def build(
  settings: config_lib.PrefixLMConfig, seed: int = 0
) -> tuple[model_lib.PrefixLM, Any]:
  """A model and random parameters, drawn without compiling an initializer."""
  model = model_lib.PrefixLM(settings, SPACE.vocabulary)
  return model, drawn.params(model, 0.5, seed)


def tokens(
  layout: layout_lib.SequenceLayout, batch: int, seed: int = 0
) -> np.ndarray:
  """int32 (batch, L): any ids that the layout admits."""
  generator = np.random.default_rng(seed)
  return np.concatenate(
    [
      generator.integers(
        run.range.start, run.range.stop, (batch, run.stop - run.start)
      )
      for run in layout.runs
    ],
    axis=1,
  ).astype(np.int32)
