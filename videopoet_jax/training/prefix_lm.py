"""Trains the prefix language model: implements `Trainable` for the loop."""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks
from videopoet_jax.core import types
from videopoet_jax.layers import low_rank
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import description
from videopoet_jax.models.prefix_lm import model as model_lib
from videopoet_jax.training import context_noise

Batch = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class PrefixLMTrainable:
  """See the Trainable contract in docs/design.md; a unit is a layout's name.

  Attributes:
    config: sizes and choices of the model.
    space: vocabulary, grids and tasks that the layouts are built from.
    layout_names: the layouts of the run.
    context_noise: largest share of flipped bits in the visual ids that are read
      in training, see `context_noise.flip_bits`; 0 flips none. Not in the
      paper.
    name: name in runs and checkpoints.
  """

  config: config_lib.PrefixLMConfig
  space: tasks.LayoutSpace
  layout_names: tuple[str, ...]
  context_noise: float = 0.0
  name: str = description.KIND

  def __post_init__(self) -> None:
    self.config.check(self.space.vocabulary, tuple(self.layouts.values()))
    if not 0.0 <= self.context_noise <= 0.5:
      raise errors.ConfigError(
        f'prefix_lm.context_noise is {self.context_noise}; it is a share of '
        'bits, from 0 to 0.5'
      )
    size = self.space.vocabulary.visual_size
    if self.context_noise and size & (size - 1):
      raise errors.ConfigError(
        f'prefix_lm.context_noise flips bits, and {size} visual ids, no power '
        'of two, have none; set it to 0'
      )

  @functools.cached_property
  def layouts(self) -> dict[str, layout_lib.SequenceLayout]:
    """The run's layouts by name."""
    return {n: self.space.layout(n) for n in self.layout_names}

  @property
  def module(self) -> model_lib.PrefixLM:
    """The network."""
    return model_lib.PrefixLM(self.config, self.space.vocabulary)

  def describe(self) -> dict[str, Any]:
    """Returns JSON for the checkpoint."""
    return description.describe(self.config, self.space, self.layout_names)

  def init(self, rng: jax.Array, batch: Batch | None = None) -> Any:
    """Draws parameters, boxed with logical axes; the same for any layout.

    Args:
      rng: random key.
      batch: unused.
    """
    del batch
    return self.module.init(rng, method='declare')['params']

  def batch_shapes(
    self, unit: str, rows: int, sharding: jax.sharding.Sharding | None = None
  ) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a batch of a layout, as in the data pipeline.

    Args:
      unit: name of a layout.
      rows: number of sequences.
      sharding: sharding of each array, or None.
    """
    layout = self.layouts[unit]

    def struct(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
      return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    found = {
      'tokens': struct((rows, layout.length), jnp.int32),
      'visible': struct((rows, layout.length), jnp.bool_),
    }
    slots = sum(
      segment.size
      for segment in layout.filled()
      if segment.modality is types.Modality.TEXT
    )
    if slots and self.config.text == 'embeddings':
      found['text_embeddings'] = struct(
        (rows, slots, self.config.text_embedding_dim), jnp.float32
      )
    return found

  def loss(
    self,
    params: Any,
    batch: Batch,
    rng: jax.Array,
    step: jax.Array,
    unit: str,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Computes the mean loss over the positions that carry one.

    Args:
      params: see `init`, unboxed.
      batch: `tokens` int32 (B, L) global ids, `visible` bool (B, L), False
        where a condition is dropped, and `text_embeddings` float32 (B, S, E)
        for models that take them.
      rng: random key of the noise.
      step: unused; there is no schedule.
      unit: name of a layout.

    Returns:
      The scalar and the metrics to log: `loss` (nats a token, without the z
      term), `perplexity`, and `loss/<modality>`, `accuracy/<modality>`.
    """
    del step
    layout = self.layouts[unit]
    read_BL = batch['tokens']
    if self.context_noise:
      read_BL = context_noise.flip_bits(
        read_BL, layout, rng, self.context_noise
      )
    return self._loss(params, batch, layout, read_BL)

  def validation_loss(
    self,
    params: Any,
    batch: Batch,
    rng: jax.Array,
    unit: str,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Computes `loss` without noise."""
    del rng
    return self._loss(params, batch, self.layouts[unit], batch['tokens'])

  def _loss(
    self,
    params: Any,
    batch: Batch,
    layout: layout_lib.SequenceLayout,
    read_BL: jax.Array,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    results = self.module.apply(
      low_rank.variables(params),
      batch['tokens'],
      batch['visible'],
      layout,
      batch.get('text_embeddings'),
      read_BL,
    )
    sums: dict[str, list[Any]] = {}
    z_total = jnp.float32(0.0)
    for run, result in results.items():
      total = sums.setdefault(run.range.modality.value, [0.0, 0.0, 0])
      total[0] += jnp.sum(result.loss_BT)
      total[1] += jnp.sum(result.correct_BT)
      total[2] += result.loss_BT.size
      z_total += jnp.sum(jnp.square(result.log_z_BT))
    number = sum(n for _, _, n in sums.values())
    loss = sum(total for total, _, _ in sums.values()) / number
    metrics = {'loss': loss, 'perplexity': jnp.exp(loss)}
    for modality, (total, hits, count) in sums.items():
      metrics[f'loss/{modality}'] = total / count
      metrics[f'accuracy/{modality}'] = hits / count
    return loss + self.config.z_loss * z_total / number, metrics
