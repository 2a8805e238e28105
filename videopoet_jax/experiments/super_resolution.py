"""Runs that train super-resolution on pairs of resolutions."""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any

import gin
import jax

from videopoet_jax.checkpoints import folders as folders_lib
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.core import upscaling
from videopoet_jax.data import preprocessors
from videopoet_jax.data import super_resolution as data_lib
from videopoet_jax.data import tokens as tokens_lib
from videopoet_jax.experiments import experiment
from videopoet_jax.experiments import prefix_lm
from videopoet_jax.models.super_resolution import config as config_lib
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers import text as text_lib
from videopoet_jax.tokenizers.magvit2 import bundle as visual_bundle
from videopoet_jax.training import super_resolution as training_lib

# The classes stay free of gin; their fields are what gin binds.
SuperResolutionConfig = gin.external_configurable(
  config_lib.SuperResolutionConfig
)
super_resolution_preset = gin.external_configurable(
  presets.preset, 'super_resolution_preset'
)
SuperResolutionRecipe = gin.external_configurable(
  training_lib.SuperResolutionRecipe
)
_RECIPE = training_lib.SuperResolutionRecipe()


@gin.configurable
def super_resolution(
  *,
  config: config_lib.SuperResolutionConfig = gin.REQUIRED,
  recipe: training_lib.SuperResolutionRecipe = _RECIPE,
  tokens: str = gin.REQUIRED,
  visual_tokenizer: str = '',
  low_tokenizer: str = '',
  text: str = 'bytes',
  text_encoder: str = '',
  units: Sequence[str] = (),
  weights: Mapping[str, float] | None = None,
  tokens_per_batch: int = gin.REQUIRED,
  batch_multiple: int = 1,
  seed: int = 0,
  validation_batch_size: int = 16,
  validation_batches: int = 1,
) -> experiment.Parts:
  """Returns super-resolution in token space, with pairs of resolutions.

  Args:
    config: the model's sizes and choices. The width of text embeddings and
      their slots, or the ids of the text tokenizer, are those of the data.
    recipe: conditions and ids that training hides and disturbs.
    tokens: directory of a token data set with `low_tokens` (`videopoet
      tokenize --low_scale 2`).
    visual_tokenizer: folder of the tokenizer of the result, which is copied
      beside the checkpoint, so that sampling needs nothing else.
    low_tokenizer: folder of the condition's tokenizer, if it is another one.
    text: the text tokenizer: 'bytes', or the path of a SentencePiece model;
      ignored if the model takes embeddings.
    text_encoder: with text embeddings, folder of the frozen encoder, which is
      also copied beside the checkpoint.
    units: names of the sizes to train, 'super_resolution/17x64x64'; the clips'
      size and an image of it unless given.
    weights: relative frequency of each, by name; 1 unless given.
    tokens_per_batch: ids of the result in a global batch, the same for all
      units.
    batch_multiple: number that batch sizes are a multiple of, besides the
      number of devices: the most devices that the run may resume with.
    seed: seed of the data order.
    validation_batch_size: examples of a global validation batch.
    validation_batches: batches of each unit in a validation; 0 for none.

  Raises:
    UserError: parts do not match.
  """
  experiment.check_numbers(
    'super_resolution',
    tokens_per_batch=(tokens_per_batch, 1),
    batch_multiple=(batch_multiple, 1),
    validation_batch_size=(validation_batch_size, 1),
    validation_batches=(validation_batches, 0),
    seed=(seed, 0),
    weights=(tuple((weights or {}).values()), 0),
  )
  info = tokens_lib.check_pairs(tokens)
  assert info.visual is not None and info.low is not None
  names = tuple(units) or _standard_units(info, tokens)
  folders, fingerprints = _tokenizers(
    info, tokens, visual_tokenizer, low_tokenizer
  )
  config, origin, read_text = _text(config, info, tokens, text)
  if config.text == 'embeddings':
    if text_encoder:
      folders[folders_lib.TEXT_ENCODER] = prefix_lm.open_text_encoder(
        text_encoder, info, 'super_resolution.text_encoder'
      )
  else:
    folders[folders_lib.TEXT] = text_lib.open_named(text)
  trainable = training_lib.SuperResolutionTrainable(
    config,
    info.visual,
    info.low,
    names,
    recipe,
    fingerprints,
    origin,
  )
  sizes = list(trainable.units.values())
  batches = data_lib.PairBatches(
    sizes,
    tokens,
    read_text,
    tokens_per_batch=tokens_per_batch,
    weights=weights,
    seed=seed,
    multiple=math.lcm(jax.device_count(), batch_multiple),
  )
  validation: data_lib.FirstPairs | None = None
  notes: tuple[str, ...] = ()
  if validation_batches:
    try:
      validation = data_lib.FirstPairs(
        sizes,
        tokens,
        read_text,
        batch_size=validation_batch_size,
        batches=validation_batches,
      )
    except errors.NoExamplesError as error:
      notes = (f'no validation: {error}',)
  return experiment.Parts(trainable, batches, validation, folders, notes)


def _standard_units(info: tokens_lib.TokenInfo, tokens: str) -> tuple[str, ...]:
  """The clips' own size, and one frame of it."""
  if info.clip is None:
    raise errors.ConfigError(
      f'{tokens} does not say the size of its clips; bind '
      "super_resolution.units = ['super_resolution/17x64x64']"
    )
  whole = upscaling.Upscaling(*info.clip, scale=info.low_scale)
  return (whole.name, dataclasses.replace(whole, frames=1).name)


def _tokenizers(
  info: tokens_lib.TokenInfo, tokens: str, visual: str, low: str
) -> tuple[dict[str, Any], dict[str, str]]:
  """Folders to copy, and the fingerprints of the tokenizers.

  Raises:
    DataError: a tokenizer is not the one that made the ids.
  """
  stored = {'visual': info.visual_fingerprint, 'low': info.low_fingerprint}
  folders: dict[str, Any] = {}
  for name, folder, target in (
    ('visual', visual, folders_lib.VISUAL),
    ('low', low, folders_lib.LOW_VISUAL),
  ):
    if not folder:
      continue
    inner = (
      (folders_lib.LOW_VISUAL, folders_lib.VISUAL)
      if name == 'low'
      else (folders_lib.VISUAL,)
    )
    path = folders_lib.within(storage.absolute(folder), *inner)
    found = interface.open_folder(
      path, visual_bundle.VisualTokenizer.kind
    ).fingerprint
    if found != stored[name]:
      what = 'visual' if name == 'visual' else 'low-resolution'
      raise errors.DataError(
        f'the {what} ids of {tokens} are of tokenizer {stored[name]}, the one '
        f'in {path} is {found}; bind super_resolution.{name}_tokenizer to '
        'the folder that made them, or tokenize again.'
      )
    folders[target] = path
  same = stored['low'] == stored['visual']
  if visual and not low and not same:
    raise errors.ConfigError(
      f'the low-resolution ids of {tokens} are of another tokenizer, '
      f'{stored["low"]}; bind super_resolution.low_tokenizer to its folder, so '
      'that it travels with the checkpoint.'
    )
  if same:
    folders.pop(folders_lib.LOW_VISUAL, None)  # One folder serves both.
  return folders, stored


def _text(
  config: config_lib.SuperResolutionConfig,
  info: tokens_lib.TokenInfo,
  tokens: str,
  text: str,
) -> tuple[config_lib.SuperResolutionConfig, dict[str, Any], data_lib.Text]:
  """The config with the text's sizes, its origin, and how to read it."""
  if config.text == 'embeddings':
    tokens_lib.check_embeddings(
      tokens, "super_resolution_preset.text = 'tokens'"
    )
    config = dataclasses.replace(
      config,
      text_embedding_dim=info.text_width,
      text_slots=info.text_slots,
    )
    origin = {'text_encoder': info.text_fingerprint}
    name = preprocessors.EMBEDDINGS
  else:
    text = text_lib.find(text)
    tokenizer = text_lib.open_named(text)
    config = dataclasses.replace(config, text_vocab_size=tokenizer.vocab_size)
    origin = {'text_tokenizer': tokenizer.fingerprint}
    name = text
  return config, origin, data_lib.Text(name, config.text_slots)
