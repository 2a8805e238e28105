"""Trains super-resolution: implements `Trainable` for the loop."""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import upscaling
from videopoet_jax.layers import embeddings
from videopoet_jax.models.super_resolution import config as config_lib
from videopoet_jax.models.super_resolution import description
from videopoet_jax.models.super_resolution import model as model_lib
from videopoet_jax.tokenizers.quantizers import lfq
from videopoet_jax.training import token_masking
from videopoet_jax.training import uncertain_bits

Batch = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class SuperResolutionRecipe:
  """Conditions and ids that training hides or disturbs.

  Attributes:
    low_noise: largest share of the condition's ids that are drawn anew; each
      example draws its share uniformly from 0 to this (the paper has such noise
      without stating its amount).
    low_uncertain: largest share of the condition's bits that become uncertain
      (`uncertain_bits.tell`), drawn like `low_noise` and in addition to it. So
      a stage learns to read the expected codes of the stage before
      (`UpscaleConfig.decode_from`). Not in the paper.
    drop_low: share of the examples without the condition (0.1 in the paper);
      drawn independently of the text.
    drop_text: share of the examples without the text (0.1 in the paper).
    all_hidden: share of the examples with all ids hidden, in addition to those
      of the masking schedule, for models that decode in one step or a few. Not
      in the paper.
  """

  low_noise: float = 0.25
  low_uncertain: float = 0.0
  drop_low: float = 0.1
  drop_text: float = 0.1
  all_hidden: float = 0.0

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if not 0 <= value <= 1:
        raise errors.ConfigError(
          f'SuperResolutionRecipe.{field.name} is {value}; expected a share '
          'from 0 to 1.'
        )


@dataclasses.dataclass(frozen=True)
class SuperResolutionTrainable:
  """See the Trainable contract in docs/design.md; a unit is a size's name.

  Attributes:
    config: sizes and choices of the model.
    visual: grid of the result's tokenizer.
    low_visual: grid of the condition's tokenizer.
    unit_names: the sizes of the run (`core.upscaling`).
    recipe: conditions and ids that are hidden or disturbed.
    fingerprints: fingerprints of the tokenizers, 'visual' and 'low'.
    origin: further entries of `checkpoint.json`, about the text's tokenizer.
    name: name in runs and checkpoints.
  """

  config: config_lib.SuperResolutionConfig
  visual: specs.VisualSpec
  low_visual: specs.VisualSpec
  unit_names: tuple[str, ...]
  recipe: SuperResolutionRecipe = SuperResolutionRecipe()
  fingerprints: Mapping[str, str] = dataclasses.field(default_factory=dict)
  origin: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  name: str = description.KIND

  def __post_init__(self) -> None:
    for unit in self.units.values():
      self.config.check(unit, self.visual, self.low_visual)

  @functools.cached_property
  def units(self) -> dict[str, upscaling.Upscaling]:
    """The run's sizes by name."""
    return {n: upscaling.Upscaling.parse(n) for n in self.unit_names}

  @property
  def module(self) -> model_lib.SuperResolution:
    """The network."""
    return model_lib.SuperResolution(
      self.config, self.visual.codebook_size, self.low_visual.codebook_size
    )

  def describe(self) -> dict[str, Any]:
    """Returns JSON for the checkpoint."""
    described = description.Description(
      self.config,
      self.visual,
      self.low_visual,
      self.unit_names,
      self.fingerprints,
    )
    return {**description.describe(described), **self.origin}

  def init(self, rng: jax.Array, batch: Batch | None = None) -> Any:
    """Draws parameters, boxed with logical axes; the same for any size.

    Args:
      rng: random key.
      batch: unused.
    """
    del batch
    return self.module.init(rng, method='declare')['params']

  def batch_shapes(
    self, unit: str, rows: int, sharding: jax.sharding.Sharding | None = None
  ) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a batch of a unit, as in the data pipeline.

    Args:
      unit: name of a size.
      rows: number of examples.
      sharding: sharding of each array, or None.
    """
    size, config = self.units[unit], self.config

    def struct(*shape: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
      return jax.ShapeDtypeStruct((rows, *shape), dtype, sharding=sharding)

    found = {
      'video_tokens': struct(*size.latent(self.visual)),
      'low_tokens': struct(*size.low_latent(self.low_visual)),
      'text_visible': struct(config.text_slots, dtype=jnp.bool_),
    }
    if config.text == 'embeddings':
      width = config.text_embedding_dim
      found['text_embeddings'] = struct(
        config.text_slots, width, dtype=jnp.float32
      )
    else:
      found['text'] = struct(config.text_slots)
    return found

  def loss(
    self,
    params: Any,
    batch: Batch,
    rng: jax.Array,
    step: jax.Array,
    unit: str,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Computes the mean loss over the hidden ids.

    Args:
      params: see `init`, unboxed.
      batch: see `batch_shapes`.
      rng: random key for hiding, disturbing and dropping.
      step: unused; there is no schedule.
      unit: name of a size.

    Returns:
      The scalar and the metrics to log: `loss` (nats a hidden token, without
      the z term), `accuracy` and `hidden` (shares from 0 to 1).
    """
    del step, unit
    recipe = self.recipe
    hide_key, noise_key, low_key, text_key = jax.random.split(rng, 4)
    rows = batch['low_tokens'].shape[0]
    low_BTHW = self._disturb(batch['low_tokens'], noise_key)
    sees_low_B = jax.random.bernoulli(low_key, 1 - recipe.drop_low, (rows,))
    sees_text_B = jax.random.bernoulli(text_key, 1 - recipe.drop_text, (rows,))
    given = {
      **batch,
      'low_tokens': low_BTHW,
      'text_visible': batch['text_visible'] & sees_text_B[:, None],
    }
    return self._loss(
      params, given, sees_low_B, hide_key, all_hidden=recipe.all_hidden
    )

  def _disturb(self, low_BTHW: jax.Array, rng: jax.Array) -> jax.Array:
    """Disturbs the condition: returns ids, or codes with uncertain bits."""
    codebook_size = self.low_visual.codebook_size
    noise_key, share_key, bits_key = jax.random.split(rng, 3)
    ids_BTHW = token_masking.resample(
      noise_key, low_BTHW, codebook_size, self.recipe.low_noise
    )
    if not self.recipe.low_uncertain:
      return ids_BTHW
    share_B = jax.random.uniform(
      share_key, (len(ids_BTHW), 1, 1, 1, 1), maxval=self.recipe.low_uncertain
    )
    codes_BTHWC = lfq.ids_to_codes(
      ids_BTHW, embeddings.code_bits(codebook_size)
    )
    return uncertain_bits.tell(codes_BTHWC, share_B, bits_key)

  def validation_loss(
    self,
    params: Any,
    batch: Batch,
    rng: jax.Array,
    unit: str,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Computes `loss` with the complete, undisturbed conditions."""
    del unit
    sees_low_B = jnp.ones(batch['low_tokens'].shape[:1], bool)
    return self._loss(params, batch, sees_low_B, rng)

  def _loss(
    self,
    params: Any,
    batch: Batch,
    sees_low_B: jax.Array,
    rng: jax.Array,
    *,
    all_hidden: float = 0.0,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    tokens_BTHW = batch['video_tokens']
    hidden_BTHW = token_masking.draw_hidden(rng, tokens_BTHW.shape, all_hidden)
    embedded = self.config.text == 'embeddings'
    result = self.module.apply(
      {'params': params},
      tokens_BTHW,
      hidden_BTHW,
      batch['low_tokens'],
      sees_low_B,
      batch['text_embeddings' if embedded else 'text'],
      batch['text_visible'],
      method='losses',
    )
    number = jnp.sum(hidden_BTHW)

    def mean(values: jax.Array) -> jax.Array:
      return jnp.sum(jnp.where(hidden_BTHW, values, 0)) / number

    loss = mean(result.loss_BT)
    metrics = {
      'loss': loss,
      'accuracy': mean(result.correct_BT),
      'hidden': jnp.mean(hidden_BTHW, dtype=jnp.float32),
    }
    z_term = self.config.z_loss * mean(jnp.square(result.log_z_BT))
    return loss + z_term, metrics
