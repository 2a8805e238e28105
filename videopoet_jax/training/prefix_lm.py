"""The prefix language model as something the training loop trains."""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import tasks
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import description
from videopoet_jax.models.prefix_lm import model as model_lib

Batch = Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class PrefixLMTrainable:
  """See the Trainable contract in docs/design.md; a unit is a layout's name.

  Attributes:
    config: sizes and choices of the model.
    space: vocabulary, grids and tasks that the layouts are built from.
    layout_names: the layouts of the run.
    name: what runs and checkpoints call it.
  """

  config: config_lib.PrefixLMConfig
  space: tasks.LayoutSpace
  layout_names: tuple[str, ...]
  name: str = description.KIND

  def __post_init__(self) -> None:
    self.config.check(self.space.vocabulary, tuple(self.layouts.values()))

  @functools.cached_property
  def layouts(self) -> dict[str, layout_lib.SequenceLayout]:
    """The run's layouts by name."""
    return {n: self.space.layout(n) for n in self.layout_names}

  @property
  def module(self) -> model_lib.PrefixLM:
    """The network."""
    return model_lib.PrefixLM(self.config, self.space.vocabulary)

  def describe(self) -> dict[str, Any]:
    """JSON for the checkpoint."""
    return description.describe(self.config, self.space, self.layout_names)

  def init(self, rng: jax.Array, batch: Batch | None = None) -> Any:
    """Parameters, boxed with logical axes; the same tree for any layout.

    Args:
      rng: key.
      batch: not looked at.
    """
    del batch
    return self.module.init(rng, method='declare')['params']

  def loss(
    self,
    params: Any,
    batch: Batch,
    rng: jax.Array,
    step: jax.Array,
    unit: str,
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean loss over the positions that carry one.

    Args:
      params: see `init`, unboxed.
      batch: `tokens` int32 (B, L) global ids, `visible` bool (B, L), False
        where a condition is dropped, and `text_embeddings` float32 (B, S, E)
        where the model takes them.
      rng: unused; nothing is random.
      step: unused; there is no schedule.
      unit: a layout's name.

    Returns:
      The scalar and the figures to log: `loss` (nats a token, without the z
      term), `perplexity`, and `loss/<modality>`, `accuracy/<modality>`.
    """
    del rng, step
    layout = self.layouts[unit]
    results = self.module.apply(
      {'params': params},
      batch['tokens'],
      batch['visible'],
      layout,
      batch.get('text_embeddings'),
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
