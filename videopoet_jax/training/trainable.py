"""What the one training loop trains."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax

Batch = Mapping[str, Any]
Metrics = dict[str, jax.Array]


class Trainable(Protocol):
  """A model with its loss; both tokenizers and the language model are one."""

  @property
  def name(self) -> str:
    """What runs and checkpoints call it: 'visual_tokenizer', 'prefix_lm'."""

  def describe(self) -> dict[str, Any]:
    """JSON values for `checkpoint.json`.

    Returns:
      `kind`, `config`, and what else makes a folder self-sufficient:
      vocabulary, layouts, fingerprints.
    """

  def init(self, rng: jax.Array, batch: Batch) -> Any:
    """Parameters, boxed with logical axes; traced by `jax.jit`."""

  def loss(
    self, params: Any, batch: Batch, rng: jax.Array, step: jax.Array, unit: str
  ) -> tuple[jax.Array, Metrics]:
    """The scalar to minimise and scalars to log.

    Args:
      params: unboxed parameters.
      batch: arrays with the examples along the first dimension.
      rng: key of this step.
      step: traced int32; schedules are functions of it.
      unit: the compile unit, a static string: a layout's name, or 'clip'.

    Returns:
      The first, and the others by name. One of the name 'loss' is logged in
      place of the first, without a term that is only to steady training.
    """

  def validation_loss(
    self, params: Any, batch: Batch, rng: jax.Array, unit: str
  ) -> tuple[jax.Array, Metrics]:
    """Scores parameters as they are used, whatever the step.

    Nothing that only helps training takes part: no noise, no dropped
    conditions, no schedules. There is no step on purpose: equal parameters
    have equal scores throughout a run, so that curves and the best step mean
    something.

    Args:
      params: unboxed parameters.
      batch: arrays with the examples along the first dimension.
      rng: key of this batch, the same each time it is scored.
      unit: the compile unit.

    Returns:
      As `loss`.
    """
