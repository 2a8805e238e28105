"""Trains the visual tokenizer: implements `Trainable` for the loop.

The loss has reconstruction, perceptual and entropy terms, and those of the
quantizer; `training.adversarial` adds a discriminator. Two schedules help the
start: early in training pixels may bypass the quantizer, and the entropy terms,
which spread the codes, fade out once the codes are spread.
"""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from videopoet_jax.core import descriptions
from videopoet_jax.core import errors
from videopoet_jax.losses.perceptual import distance
from videopoet_jax.tokenizers.magvit2 import bundle
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.tokenizers.magvit2 import model as model_lib
from videopoet_jax.tokenizers.quantizers import interface
from videopoet_jax.training import uncertain_bits

UNIT = 'clip'
# Salt of the key that draws the frames of the perceptual term.
_PERCEPTUAL = 7


@dataclasses.dataclass(frozen=True)
class VisualTokenizerRecipe:
  """Weights and schedules of the losses.

  Errors of pixels are measured on a scale from 0 (black) to 1 (white).

  Attributes:
    total_steps: length of the run; the schedules below are shares of it.
    mse_weight: weight of the mean square error.
    l1_weight: weight of the mean absolute error.
    commitment_weight: weight of the commitment loss, latents to codes.
    codebook_weight: VQ: weight of the term that moves codes to latents.
    revival_weight: VQ: weight of the term that moves idle codes to latents.
    entropy_weight: weight of token entropy minus codebook entropy, in nats, at
      step 0; it falls to zero, linearly.
    entropy_until: share of the run by which the entropy terms are zero.
    codebook_entropy_scale: weight of the codebook's entropy within the
      entropy terms.
    inverse_temperature: sharpness of the soft assignment; see
      `losses.lookup_free`.
    entropy_group_bits: bits that share one joint distribution.
    bypass_until: share of the run by which every clip is quantized. Before, a
      clip bypasses the quantizer with a probability that falls from 1, its
      latents in the range of codes with added noise; 0 quantizes always.
    bypass_noise: standard deviation of that noise; 1 is half the distance of
      neighbouring codes (see `Quantizer.soften`).
    gradient_weight: weight of the mean absolute error of differences of
      neighbouring pixels (Mathieu et al., arXiv 1511.05440), for sharp edges.
      Not in the paper.
    perceptual_weight: weight of the distance in features of a pretrained
      network (`losses.perceptual`), which `visual_tokenizer.perceptual` gives.
    perceptual_from: share of the run from which that term acts.
    perceptual_frames: number of frames of each clip, drawn at every step, that
      the network compares; 0 compares all of them.
    decoder_only: whether the encoder stays fixed (`--init_from`): ids do not
      change, so models of them stay usable, and pixels improve. Quantizes
      always, without the latents' terms.
    uncertain_share: with `decoder_only`, share of the bits that become
      uncertain (`uncertain_bits.tell`). So the decoder learns to read expected
      codes (`UpscaleConfig.decode_from`).
  """

  total_steps: int = 1000
  mse_weight: float = 20.0
  l1_weight: float = 0.9
  commitment_weight: float = 0.006
  entropy_weight: float = 0.01
  entropy_until: float = 0.6
  codebook_entropy_scale: float = 1.0
  inverse_temperature: float = 1.0
  entropy_group_bits: int = 9
  bypass_until: float = 0.3
  bypass_noise: float = 0.3
  gradient_weight: float = 0.0
  perceptual_weight: float = 0.0
  perceptual_from: float = 0.0
  perceptual_frames: int = 0
  decoder_only: bool = False
  uncertain_share: float = 0.0
  codebook_weight: float = 1.0
  revival_weight: float = 0.05

  def __post_init__(self) -> None:
    errors.check_range(self, 'total_steps', 'entropy_group_bits', least=1)
    errors.check_range(self, 'inverse_temperature', above=True)
    errors.check_range(
      self,
      'mse_weight',
      'l1_weight',
      'commitment_weight',
      'entropy_weight',
      'codebook_entropy_scale',
      'bypass_noise',
      'gradient_weight',
      'perceptual_weight',
      'perceptual_frames',
      'codebook_weight',
      'revival_weight',
    )
    errors.check_range(
      self, 'entropy_until', 'bypass_until', 'perceptual_from', most=1
    )
    for name in ('perceptual_from', 'perceptual_frames'):
      if getattr(self, name) and not self.perceptual_weight:
        raise errors.ConfigError(
          f'VisualTokenizerRecipe.{name} is {getattr(self, name)}, which acts '
          'on the perceptual term alone; bind perceptual_weight, too, or leave '
          'it out.'
        )
    if not 0 <= self.uncertain_share <= (1 if self.decoder_only else 0):
      raise errors.ConfigError(
        f'VisualTokenizerRecipe.uncertain_share is {self.uncertain_share}; '
        'expected a share from 0 to 1, and decoder_only = True unless it is 0.'
      )


class Reconstruction(NamedTuple):
  """A batch passed through the tokenizer.

  Attributes:
    video: the originals, float32 video_BTHWC in [-1, 1].
    out: what the decoder returns, not clipped.
    loss: float32 scalar.
    metrics: float32 scalars by name.
  """

  video: jax.Array
  out: jax.Array
  loss: jax.Array
  metrics: dict[str, jax.Array]


class VisualTokenizerTrainable:
  """Implements the contract of `training.trainable.Trainable`.

  Attributes:
    name: 'visual_tokenizer'.
    config: config of the model.
    recipe: weights and schedules.
    perceptual: distance that `perceptual_weight` weighs.
  """

  name = 'visual_tokenizer'

  def __init__(
    self,
    config: config_lib.VisualTokenizerConfig,
    recipe: VisualTokenizerRecipe,
    perceptual: distance.PerceptualDistance | None = None,
  ) -> None:
    if (perceptual is None) == bool(recipe.perceptual_weight):
      raise errors.ConfigError(
        'VisualTokenizerRecipe.perceptual_weight is '
        f'{recipe.perceptual_weight} and visual_tokenizer.perceptual is '
        f'{"not " if perceptual is None else ""}bound; bind both, or leave the '
        'weight at 0 and the network out.'
      )
    self.perceptual = perceptual
    if recipe.uncertain_share:
      config.spec.require_bits('VisualTokenizerRecipe.uncertain_share')
    _check_terms(config, recipe)
    self.config = config
    self.recipe = recipe
    self._module = model_lib.VisualTokenizerModel(config)

  def describe(self) -> dict[str, Any]:
    """Returns the model's entries of `checkpoint.json`."""
    return {
      'kind': bundle.VisualTokenizer.kind,
      'config': descriptions.values(self.config),
      'recipe': dataclasses.asdict(self.recipe),
    }

  def init(self, rng: jax.Array, batch: Mapping[str, Any]) -> Any:
    """Draws parameters, boxed with their logical axes."""
    model_lib.check_video_shape(self.config.spec, batch['video'].shape)
    return bundle.init_params(self.config, rng)

  def bundle(self, params: Any) -> bundle.VisualTokenizer:
    """Returns the tokenizer with these (unboxed) parameters."""
    return bundle.VisualTokenizer(self.config, params)

  def loss(
    self,
    params: Any,
    batch: Mapping[str, Any],
    rng: jax.Array,
    step: jax.Array,
    unit: str = UNIT,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Computes the loss of one batch.

    Args:
      params: parameters of the model.
      batch: `video`, (batch, frames, height, width, 3), uint8 or float in
        [-1, 1].
      rng: random key of this step.
      step: int32, steps done.
      unit: always 'clip'.

    Returns:
      The loss, and metrics: each weighted term, `psnr` in dB (mean over
      clips, as quantized in this step), `codebook_usage` (share, from 0 to 1,
      of the codes' entropy that this batch uses) and `bits_used` (the entropy
      of the mean soft assignment, in bits; without one, of the codes).
    """
    del unit
    passed = self.reconstruct(params, batch, rng, step)
    return passed.loss, passed.metrics

  def reconstruct(
    self,
    params: Any,
    batch: Mapping[str, Any],
    rng: jax.Array,
    step: jax.Array,
  ) -> Reconstruction:
    """Passes a batch through the tokenizer as training does; see `loss`."""
    recipe = self.recipe
    video = bundle.from_pixels(batch['video'])
    progress = step.astype(jnp.float32) / recipe.total_steps

    def bottleneck(
      quantizer: interface.Quantizer, latents: jax.Array
    ) -> jax.Array:
      if recipe.decoder_only:
        codes = jax.lax.stop_gradient(quantizer.quantize(latents))
        if not recipe.uncertain_share:
          return codes
        return uncertain_bits.tell(codes, recipe.uncertain_share, rng)
      return self._bottleneck(quantizer, latents, rng, progress)

    out, latents = self._module.apply({'params': params}, video, bottleneck)
    entropy_weight = recipe.entropy_weight * jnp.clip(
      1.0 - progress / max(recipe.entropy_until, 1e-6), 0.0, 1.0
    )
    total, metrics = self._score(params, video, out, latents, entropy_weight)
    if self.perceptual is not None:
      term = recipe.perceptual_weight * self._perceptual(
        self.perceptual, video, out, rng, progress
      )
      total, metrics = total + term, metrics | {'perceptual': term}
    return Reconstruction(video, out, total, metrics)

  def _perceptual(
    self,
    perceptual: distance.PerceptualDistance,
    video: jax.Array,
    out: jax.Array,
    rng: jax.Array,
    progress: jax.Array,
  ) -> jax.Array:
    """Perceptual distance of the frames that are compared in this step."""
    recipe = self.recipe
    frames = recipe.perceptual_frames
    if 0 < frames < video.shape[1]:
      order = jax.random.permutation(
        jax.random.fold_in(rng, _PERCEPTUAL), video.shape[1]
      )
      video = jnp.take(video, order[:frames], axis=1)
      out = jnp.take(out, order[:frames], axis=1)
    if not recipe.perceptual_from:
      return perceptual(out, video)
    return jax.lax.cond(
      progress >= recipe.perceptual_from,
      perceptual,
      lambda out, video: jnp.zeros((), jnp.float32),
      out,
      video,
    )

  def validation_loss(
    self,
    params: Any,
    batch: Mapping[str, Any],
    rng: jax.Array,
    unit: str = UNIT,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Scores the tokenizer as it is used.

    Every clip is quantized, pixels are clipped to [-1, 1], and the entropy
    terms, which fade out in training, have no weight. The perceptual term
    acts on all frames, whatever the step.

    Args:
      params: parameters of the model.
      batch: see `loss`.
      rng: unused; nothing is random.
      unit: always 'clip'.

    Returns:
      See `loss`; there is no metric `entropy`.
    """
    del rng, unit
    video = bundle.from_pixels(batch['video'])
    out, latents = self._module.apply({'params': params}, video)
    out = jnp.clip(out, -1.0, 1.0)
    total, metrics = self._score(params, video, out, latents)
    if self.perceptual is not None:
      term = self.recipe.perceptual_weight * self.perceptual(out, video)
      total, metrics = total + term, metrics | {'perceptual': term}
    return total, metrics

  def _score(
    self,
    params: Any,
    video: jax.Array,
    out: jax.Array,
    latents: jax.Array,
    entropy_weight: jax.Array | None = None,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Loss and metrics of a reconstruction; see `loss`."""
    recipe = self.recipe
    chex.assert_equal_shape([video, out])
    # Half of a difference on [-1, 1] is a difference on [0, 1].
    error = 0.5 * (out - video)
    square_B = jnp.mean(jnp.square(error), axis=(1, 2, 3, 4))
    terms = self._module.apply(
      {'params': params},
      latents,
      recipe.inverse_temperature,
      recipe.entropy_group_bits,
      method='terms',
    )
    usage = self._module.apply({'params': params}, latents, method='usage')
    bits_used = usage * math.log2(self.config.spec.codebook_size)
    if 'codebook_entropy' in terms:
      bits_used = terms['codebook_entropy'] / jnp.log(2.0)
    parts = {
      'mse': recipe.mse_weight * jnp.mean(square_B),
      'l1': recipe.l1_weight * jnp.mean(jnp.abs(error)),
    }
    if not recipe.decoder_only:
      for name, weight in (
        ('commitment', recipe.commitment_weight),
        ('codebook', recipe.codebook_weight),
        ('revival', recipe.revival_weight),
      ):
        if name in terms:
          parts[name] = weight * terms[name]
      if entropy_weight is not None and 'token_entropy' in terms:
        parts['entropy'] = entropy_weight * (
          terms['token_entropy']
          - recipe.codebook_entropy_scale * terms['codebook_entropy']
        )
    if recipe.gradient_weight:
      parts['gradient'] = recipe.gradient_weight * _gradient_error(error)
    metrics = parts | {
      'psnr': jnp.mean(-10.0 * jnp.log10(jnp.maximum(square_B, 1e-10))),
      'codebook_usage': usage,
      'bits_used': bits_used,
    }
    return sum(parts.values(), jnp.float32(0.0)), metrics

  def _bottleneck(
    self,
    quantizer: interface.Quantizer,
    latents: jax.Array,
    rng: jax.Array,
    progress: jax.Array,
  ) -> jax.Array:
    codes = quantizer.quantize(latents)
    recipe = self.recipe
    if recipe.bypass_until <= 0.0:
      return codes
    choice_key, noise_key = jax.random.split(rng)
    chance = jnp.clip(1.0 - progress / recipe.bypass_until, 0.0, 1.0)
    around = jax.random.bernoulli(
      choice_key, chance, (latents.shape[0], 1, 1, 1, 1)
    )
    noise = jax.random.normal(noise_key, latents.shape)
    soft = quantizer.soften(latents, recipe.bypass_noise * noise)
    return jnp.where(around, soft, codes)


# Field of the recipe -> the quantizer's term that it weighs.
_WEIGHTS = {
  'commitment_weight': 'commitment',
  'codebook_weight': 'codebook',
  'revival_weight': 'revival',
  'entropy_weight': 'token_entropy',
}


def _check_terms(
  config: config_lib.VisualTokenizerConfig, recipe: VisualTokenizerRecipe
) -> None:
  """Raises ConfigError where a weight is set and the quantizer has no term."""
  quantizer = config.make_quantizer()
  for field, term in _WEIGHTS.items():
    value = getattr(recipe, field)
    default = getattr(VisualTokenizerRecipe, field)
    if value not in (0, default) and term not in quantizer.term_names:
      raise errors.ConfigError(
        f'VisualTokenizerRecipe.{field} is {value} and cannot act: the'
        f' quantizer {quantizer.kind!r} has no such term; leave it at its'
        f' default, {default}.'
      )


def _gradient_error(error_BTHWC: jax.Array) -> jax.Array:
  """Mean absolute difference of neighbouring errors, across and down."""
  across = error_BTHWC[:, :, :, 1:] - error_BTHWC[:, :, :, :-1]
  down = error_BTHWC[:, :, 1:] - error_BTHWC[:, :, :-1]
  return jnp.mean(jnp.abs(across)) + jnp.mean(jnp.abs(down))
