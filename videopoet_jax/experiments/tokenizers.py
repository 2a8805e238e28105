"""Runs that train a tokenizer on a media data set."""

from collections.abc import Callable, Sequence
import pathlib
from typing import Any

import gin

from videopoet_jax.checkpoints import published_files
from videopoet_jax.core import errors
from videopoet_jax.data import batches as data_batches
from videopoet_jax.data import media_batches
from videopoet_jax.data import records
from videopoet_jax.experiments import experiment
from videopoet_jax.losses.perceptual import distance
from videopoet_jax.tokenizers.magvit2 import config as magvit2_config
from videopoet_jax.tokenizers.magvit2 import (
  discriminator as magvit2_discriminator,
)
from videopoet_jax.tokenizers.soundstream import bundle as soundstream_bundle
from videopoet_jax.tokenizers.soundstream import config as soundstream_config
from videopoet_jax.training import adversarial as adversarial_lib
from videopoet_jax.training import audio_tokenizer as audio_lib
from videopoet_jax.training import batches as batches_lib
from videopoet_jax.training import trainable as trainable_lib
from videopoet_jax.training import visual_tokenizer as visual_lib

_PLAIN = media_batches.ClipMixture()


@gin.configurable
def perceptual_network(
  *,
  backbone: str = gin.REQUIRED,
  weights: str = gin.REQUIRED,
  heads: str = '',
  layers: Sequence[str] = (),
) -> distance.PerceptualDistance:
  """Returns the perceptual loss of a pretrained network.

  Args:
    backbone: 'vgg16', 'resnet50', 'convnext_tiny' or 'efficientnet_lite0'.
    weights: file of its published weights, see `checkpoints.published_files`.
    heads: file of LPIPS v0.1's weights for 'vgg16'; none if empty.
    layers: features to compare; the backbone's own choice if empty.

  Raises:
    ConfigError: a file is missing or holds other weights.
  """
  return distance.PerceptualDistance(
    backbone,
    published_files.read(weights),
    heads=published_files.read(heads) if heads else None,
    layers=layers,
    source=weights,
  )


@gin.configurable
def visual_tokenizer(
  *,
  config: magvit2_config.VisualTokenizerConfig = gin.REQUIRED,
  recipe: visual_lib.VisualTokenizerRecipe = gin.REQUIRED,
  media: str = gin.REQUIRED,
  batch_size: int = 8,
  mixture: media_batches.ClipMixture = _PLAIN,
  seed: int = 0,
  validation_batches: int = 8,
  validation_media: str = '',
  perceptual: distance.PerceptualDistance | None = None,
  discriminator: magvit2_discriminator.DiscriminatorConfig | None = None,
  adversarial: adversarial_lib.AdversarialRecipe | None = None,
) -> experiment.Parts:
  """Returns a visual tokenizer (MAGVIT-v2) with clips to train it on.

  Args:
    config: the tokenizer's sizes.
    recipe: weights and schedules of its losses.
    media: directory of a media data set.
    batch_size: number of clips of a global batch.
    mixture: kinds of training data besides plain clips.
    seed: seed of the data order.
    validation_batches: number of batches of one validation; 0 for none.
    validation_media: directory of another media data set to validate on, with
      clips of any size; the validation split of `media` if empty.
    perceptual: network of the perceptual term (`@perceptual_network()`), which
      `VisualTokenizerRecipe.perceptual_weight` weighs.
    discriminator: sizes of a discriminator to train against; None for none.
    adversarial: weights and schedules of the adversarial terms.

  Raises:
    ConfigError: parts are bound that do not act together.
  """
  plain = visual_lib.VisualTokenizerTrainable(config, recipe, perceptual)
  trainable: (
    visual_lib.VisualTokenizerTrainable | adversarial_lib.AdversarialTrainable
  ) = plain
  if (discriminator is None) != (adversarial is None):
    raise errors.ConfigError(
      'visual_tokenizer.discriminator and visual_tokenizer.adversarial act '
      'together; bind both, or neither'
    )
  if discriminator is not None and adversarial is not None:
    trainable = adversarial_lib.AdversarialTrainable(
      plain, discriminator, adversarial
    )
  return _parts(
    trainable,
    media,
    media_batches.VIDEO,
    batch_size=batch_size,
    seed=seed,
    mixture=mixture,
    validation_batches=validation_batches,
    validation_media=validation_media,
    finish=lambda params, run_dir: trainable.bundle(params).save(run_dir),
  )


@gin.configurable
def audio_tokenizer(
  *,
  config: soundstream_config.SoundStreamConfig = gin.REQUIRED,
  recipe: audio_lib.AudioTokenizerRecipe = gin.REQUIRED,
  media: str = gin.REQUIRED,
  batch_size: int = 16,
  seed: int = 0,
  validation_batches: int = 8,
) -> experiment.Parts:
  """Returns an audio tokenizer (SoundStream) with sound to train it on.

  Args:
    config: the tokenizer's sizes.
    recipe: weights and schedules of its losses.
    media: directory of a media data set whose clips have sound.
    batch_size: number of clips of a global batch.
    seed: seed of the data order.
    validation_batches: number of batches of one validation; 0 for none.
  """
  return _parts(
    audio_lib.AudioTokenizerTrainable(config, recipe),
    media,
    media_batches.AUDIO,
    batch_size=batch_size,
    seed=seed,
    validation_batches=validation_batches,
    finish=lambda params, run_dir: soundstream_bundle.AudioTokenizer(
      config, params
    ).save(run_dir),
  )


def _parts(
  trainable: trainable_lib.Trainable,
  media: str,
  feature: str,
  *,
  batch_size: int,
  seed: int,
  validation_batches: int,
  finish: Callable[[Any, pathlib.Path], None],
  mixture: media_batches.ClipMixture = _PLAIN,
  validation_media: str = '',
) -> experiment.Parts:
  """Opens the data of a tokenizer, once its numbers are checked."""
  experiment.check_numbers(
    trainable.name,
    batch_size=(batch_size, 1),
    validation_batches=(validation_batches, 0),
    seed=(seed, 0),
  )
  batches = media_batches.MediaBatches(
    media, feature, batch_size=batch_size, seed=seed, mixture=mixture
  )
  validation, notes = _validation(
    validation_media or media,
    feature,
    batch_size,
    validation_batches,
    # A set of its own may hold one split, whatever its name.
    whole=bool(validation_media),
  )
  return experiment.Parts(
    trainable, batches, validation, notes=notes, finish=finish
  )


def _validation(
  media: str, feature: str, batch_size: int, number: int, whole: bool
) -> tuple[batches_lib.First | None, tuple[str, ...]]:
  """Returns the validation data, and the reason if there are none."""
  if not number:
    return None, ()
  split = data_batches.VALIDATION
  if whole:
    splits = records.open_records(media).splits
    split = split if split in splits else splits[0]
  try:
    batches = media_batches.MediaBatches(
      media,
      feature,
      batch_size=batch_size,
      split=split,
      shuffle=False,
    )
  except errors.NoExamplesError as error:
    return None, (f'no validation: {error}',)
  return batches_lib.First(batches, number), ()
