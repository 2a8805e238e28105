"""A checkpoint folder of untrained super-resolution, to test generation."""

import pathlib
import shutil

import jax

from tests.inference import folder
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import opened
from videopoet_jax.checkpoints import tree
from videopoet_jax.core import specs
from videopoet_jax.models.super_resolution import config as config_lib
from videopoet_jax.models.super_resolution import description
from videopoet_jax.models.super_resolution import model as model_lib
from videopoet_jax.tokenizers import text as text_lib
from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle

CODES = folder.VISUAL.spec.codebook_size
# Both stages of a cascade from 16 pixels.
UNITS = ('super_resolution/17x32x32', 'super_resolution/17x64x64')


def described(
  units: tuple[str, ...] = UNITS, visual: str = 'a' * 16, low: str = 'a' * 16
) -> description.Description:
  """A small model of those units and fingerprints."""
  config = config_lib.SuperResolutionConfig(
    num_blocks=1,
    width=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=16,
    windows=((1, 4, 2), (1, 2, 4), (5, 2, 2)),
    text_vocab_size=text_lib.ByteTokenizer().vocab_size,
    text_slots=8,
  )
  spec = specs.VisualSpec(CODES)
  return description.Description(
    config, spec, spec, units, {'visual': visual, 'low': low}
  )


def tokenizer(seed: int = 0) -> visual_bundle.VisualTokenizer:
  """An untrained visual tokenizer; that of `folder.write` for seed 0."""
  shapes = jax.eval_shape(
    lambda key: visual_bundle.init_params(folder.VISUAL, key),
    jax.random.key(0),
  )
  return visual_bundle.VisualTokenizer(
    folder.VISUAL, folder.drawn(shapes, seed)
  )


def write(directory: pathlib.Path, low_seed: int = 0) -> None:
  """Writes model, tokenizers and text tokenizer.

  Args:
    directory: to be written.
    low_seed: of the condition's tokenizer; 0 is that of the result too.
  """
  visual, low = tokenizer(), tokenizer(low_seed)
  visual.save(directory / 'visual_tokenizer')
  if low_seed:
    low.save(directory / 'low_tokenizer')
  text_lib.ByteTokenizer().save(directory / 'text')
  says = described(visual=visual.fingerprint, low=low.fingerprint)
  model = model_lib.SuperResolution(says.config, CODES)
  shapes = jax.eval_shape(
    lambda key: model.init(key, method='declare'), jax.random.key(0)
  )
  tree.save_tree(directory / opened.PARAMS, folder.drawn(shapes['params']))
  describe.write_description(directory, description.describe(says))


def without(
  directory: pathlib.Path, name: str, copy: pathlib.Path
) -> pathlib.Path:
  """A copy of a checkpoint that lacks one of its folders."""
  shutil.copytree(directory, copy)
  shutil.rmtree(copy / name)
  return copy
