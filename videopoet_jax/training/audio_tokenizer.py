"""Trains the audio tokenizer: implements `Trainable` for the loop."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any

from flax.core import meta
import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.losses import spectral
from videopoet_jax.tokenizers.quantizers import codebook
from videopoet_jax.tokenizers.quantizers import residual
from videopoet_jax.tokenizers.soundstream import bundle
from videopoet_jax.tokenizers.soundstream import config as config_lib
from videopoet_jax.tokenizers.soundstream import model as model_lib

Batch = Mapping[str, Any]
UNIT = 'clip'


@dataclasses.dataclass(frozen=True)
class AudioTokenizerRecipe:
  """Weights and schedules of the losses.

  Attributes:
    total_steps: length of the run; the schedule below is a share of it.
    spectral: weight of the multi-scale mel distance ('soundstream').
    levels: weight of the mean square error of the levels of short tones
      ('patch'): large, as most of them are silent most of the time.
    waveform: weight of the mean square error of samples.
    windows: lengths of the spectra compared ('soundstream'), in samples.
    codebook: weight of the term that moves codes to latents.
    commitment: weight of the term that moves latents to codes.
    revival: weight of the term that moves idle codes to latents.
    bypass_until: share of the run by which every clip is quantized. Before, a
      clip bypasses the quantizer with a probability that falls from 1.
  """

  total_steps: int = 1000
  spectral: float = 1.0
  levels: float = 300.0
  waveform: float = 20.0
  windows: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
  codebook: float = 1.0
  commitment: float = 0.25
  revival: float = 0.05
  bypass_until: float = 0.25

  def __post_init__(self) -> None:
    object.__setattr__(self, 'windows', tuple(self.windows))
    errors.check_range(self, 'total_steps', least=1)
    errors.check_range(self, 'windows', least=8)
    if not self.windows:
      raise errors.ConfigError(
        'AudioTokenizerRecipe.windows is empty; give at least one length'
      )
    errors.check_range(
      self,
      'spectral',
      'levels',
      'waveform',
      'codebook',
      'commitment',
      'revival',
    )
    errors.check_range(self, 'bypass_until', most=1)


class AudioTokenizerTrainable:
  """Implements the contract of `training.trainable.Trainable`.

  Attributes:
    name: 'audio_tokenizer'.
    config: config of the model.
    recipe: weights and schedules.
  """

  name = 'audio_tokenizer'

  def __init__(
    self, config: config_lib.SoundStreamConfig, recipe: AudioTokenizerRecipe
  ) -> None:
    self.config = config
    self.recipe = recipe
    self._module = model_lib.SoundStream(config)

  def describe(self) -> dict[str, Any]:
    """Returns JSON for the checkpoint."""
    return {
      'kind': bundle.AudioTokenizer.kind,
      'config': dataclasses.asdict(self.config),
      'recipe': dataclasses.asdict(self.recipe),
    }

  def init(self, rng: jax.Array, batch: Batch) -> Any:
    """Draws parameters, with codebooks fitted to the batch's first latents.

    Args:
      rng: random key.
      batch: `audio` int16 (batch, samples).

    Returns:
      The parameter tree, boxed with logical axes.
    """
    audio_BT = jnp.asarray(bundle.from_samples(batch['audio']))
    parameter_key, codebook_key = jax.random.split(rng)
    params = self._module.init(parameter_key, audio_BT)['params']
    latents_BFD = self._module.apply(
      {'params': params}, audio_BT, method='latents'
    )
    codebooks_KVD = residual.codebooks_from_data(
      codebook_key,
      latents_BFD,
      self.config.num_levels,
      self.config.codebook_size,
    )
    boxed = params['quantizer']['codebooks']
    params['quantizer']['codebooks'] = meta.replace_boxed(
      boxed, codebooks_KVD / codebook.SPEED
    )
    return params

  def bundle(self, params: Any) -> bundle.AudioTokenizer:
    """Returns the tokenizer with these (unboxed) parameters."""
    return bundle.AudioTokenizer(self.config, params)

  def loss(
    self,
    params: Any,
    batch: Batch,
    rng: jax.Array,
    step: jax.Array,
    unit: str = UNIT,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Computes the loss of one step.

    Args:
      params: see `init`.
      batch: `audio` int16 (batch, samples).
      rng: random key of the step.
      step: int32, drives the bypass schedule.
      unit: the compile unit; there is one.

    Returns:
      The scalar and the metrics to log; losses are weighted, except for those
      of the quantizer.
    """
    del unit
    recipe = self.recipe
    bypass_steps = max(1.0, recipe.bypass_until * recipe.total_steps)
    bypass = jnp.clip(1.0 - step / bypass_steps, 0.0, 1.0)
    return self._score(params, batch, rng, bypass)

  def validation_loss(
    self, params: Any, batch: Batch, rng: jax.Array, unit: str = UNIT
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Scores the tokenizer as it is used: every clip at every level.

    Args:
      params: see `init`.
      batch: see `loss`.
      rng: unused; nothing is random.
      unit: the compile unit; there is one.

    Returns:
      See `loss`.
    """
    del rng, unit
    return self._score(params, batch)

  def _score(
    self,
    params: Any,
    batch: Batch,
    rng: jax.Array | None = None,
    bypass: jax.Array | float = 0.0,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Loss and metrics of a pass; without a key no dropout or bypass."""
    recipe = self.recipe
    audio_BT = bundle.from_samples(batch['audio'])
    out = self._module.apply({'params': params}, audio_BT, rng, bypass)
    if out.target_levels is None:
      spectral_loss = recipe.spectral * spectral.multi_scale_mel_loss(
        out.target_BT,
        out.prediction_BT,
        sampling_rate=self.config.sampling_rate,
        windows=recipe.windows,
      )
    else:
      spectral_loss = recipe.levels * jnp.mean(
        jnp.square(out.predicted_levels - out.target_levels)
      )
    difference_BT = out.prediction_BT - out.target_BT
    waveform_loss = recipe.waveform * jnp.mean(jnp.square(difference_BT))
    quantized = out.quantized
    total = (
      spectral_loss
      + waveform_loss
      + recipe.codebook * quantized.codebook_loss
      + recipe.commitment * quantized.commitment_loss
      + recipe.revival * quantized.revival_loss
    )
    metrics = {
      'loss': total,
      'spectral_loss': spectral_loss,
      'waveform_loss': waveform_loss,
      'codebook_loss': quantized.codebook_loss,
      'commitment_loss': quantized.commitment_loss,
      'batch_codebook_usage': jnp.mean(quantized.usage_K),
    }
    return total, metrics
