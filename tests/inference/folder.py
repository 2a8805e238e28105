"""A checkpoint folder of an untrained model, for tests of generation."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.models.prefix_lm import small
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import opened
from videopoet_jax.checkpoints import tree
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary as vocabulary_lib
from videopoet_jax.models.prefix_lm import description
from videopoet_jax.models.prefix_lm import model as model_lib
from videopoet_jax.parallel import rules
from videopoet_jax.tokenizers import text as text_lib
from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle
from videopoet_jax.tokenizers.magvit2 import config as visual_config
from videopoet_jax.tokenizers.soundstream import bundle as audio_bundle
from videopoet_jax.tokenizers.soundstream import config as audio_config
from videopoet_jax.tokenizers.soundstream import model as audio_model

SIZE = '17x16x16'
LAYOUTS = (
  f'text_to_video/{SIZE}',
  f'image_to_video/{SIZE}',
  f'image_to_video/{SIZE}/text=0',
  f'future_prediction/{SIZE}/condition=3',
  f'inpainting/{SIZE}',
  f'video_to_audio/{SIZE}',
)
VISUAL = visual_config.VisualTokenizerConfig(
  architecture='patch',
  num_bits=6,
  patch_size=8,
  patch_hidden_dim=8,
  patch_dim=8,
  patch_blocks=0,
  latent_dim=8,
  latent_blocks=0,
  output_hidden_dim=8,
)
AUDIO = audio_config.tiny()


def drawn(shapes: Any, seed: int = 0) -> Any:
  """Unboxed parameters of such shapes, all of them random."""
  generator = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: jnp.asarray(generator.normal(size=x.shape) * 0.5, x.dtype),
    rules.unbox(shapes),
  )


def write(directory: pathlib.Path) -> None:
  """Writes the language model and its three tokenizers."""
  key = jax.random.key(0)
  visual = visual_bundle.VisualTokenizer(
    VISUAL,
    drawn(jax.eval_shape(lambda k: visual_bundle.init_params(VISUAL, k), key)),
  )
  visual.save(directory / 'visual_tokenizer')
  sound = jnp.zeros((1, AUDIO.hop * 4))
  audio_shapes = jax.eval_shape(
    lambda k: audio_model.SoundStream(AUDIO).init(k, sound)['params'], key
  )
  audio_bundle.AudioTokenizer(AUDIO, drawn(audio_shapes)).save(
    directory / 'audio_tokenizer'
  )
  text = text_lib.ByteTokenizer()
  text.save(directory / 'text')
  spec = AUDIO.spec
  space = tasks.LayoutSpace(
    vocabulary_lib.Vocabulary(
      visual_size=64,
      audio_levels=spec.levels,
      audio_codes=spec.codes,
      text_size=text.vocab_size,
    ),
    specs.VisualSpec(codebook_size=64),
    spec,
    text_slots=8,
  )
  config = small.config()
  model = model_lib.PrefixLM(config, space.vocabulary)
  shapes = jax.eval_shape(lambda k: model.init(k, method='declare'), key)
  tree.save_tree(directory / opened.PARAMS, drawn(shapes['params']))
  described = description.describe(config, space, LAYOUTS)
  fingerprints = {'visual': visual.fingerprint}
  describe.write_description(
    directory, described | {'fingerprints': fingerprints}
  )
