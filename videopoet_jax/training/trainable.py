"""The protocol between models and the training loop."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax

Batch = Mapping[str, Any]
Metrics = dict[str, jax.Array]


class Trainable(Protocol):
  """A model with its loss, for tokenizers and language models alike."""

  @property
  def name(self) -> str:
    """Name in runs and checkpoints: 'visual_tokenizer', 'prefix_lm'."""

  def describe(self) -> dict[str, Any]:
    """Returns JSON values for `checkpoint.json`.

    Returns:
      `kind`, `config`, and everything else that makes a folder self-contained:
      vocabulary, layouts, fingerprints.
    """

  def init(self, rng: jax.Array, batch: Batch) -> Any:
    """Draws parameters, boxed with logical axes; traced by `jax.jit`."""

  def loss(
    self, params: Any, batch: Batch, rng: jax.Array, step: jax.Array, unit: str
  ) -> tuple[jax.Array, Metrics]:
    """Returns the scalar to minimise and scalars to log.

    Args:
      params: unboxed parameters.
      batch: arrays with the examples along the first dimension.
      rng: random key of this step.
      step: traced int32; schedules are functions of it.
      unit: the compile unit, a static string: a layout's name, or 'clip'.

    Returns:
      The scalar, and the others by name. One with the name 'loss' is logged in
      place of the scalar, without a term that only steadies training.
    """

  def validation_loss(
    self, params: Any, batch: Batch, rng: jax.Array, unit: str
  ) -> tuple[jax.Array, Metrics]:
    """Scores parameters as they are used, whatever the step.

    Everything that only helps training is left out: noise, dropped conditions,
    schedules. There is no step on purpose: equal parameters have equal scores
    throughout a run, so that curves and the best step are meaningful.

    Args:
      params: unboxed parameters.
      batch: arrays with the examples along the first dimension.
      rng: random key of this batch, the same each time it is scored.
      unit: the compile unit.

    Returns:
      See `loss`.
    """
