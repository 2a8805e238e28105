"""T5X's trainer on batches of several layouts, one layout a step (AGD)."""

from collections.abc import Iterator, Mapping
import functools
from typing import Any

import gin
import jax
from t5x import trainer

from videopoet_jax.core import errors
from videopoet_jax.t5x import converter
from videopoet_jax.t5x import experiment
from videopoet_jax.training import batches as batches_lib
from videopoet_jax.training import optimizers
from videopoet_jax.training import prefetch


class LayoutTrainer(trainer.Trainer):
  """Trains step n on this project's batch n.

  The step that T5X compiles is compiled once for every layout, at its first
  use.
  """

  def __init__(
    self,
    *args: Any,
    batches: batches_lib.Batches,
    total_steps: int,
    **kwargs: Any,
  ) -> None:
    """Takes the data in addition to T5X's own arguments.

    Args:
      *args: arguments of `t5x.trainer.Trainer`.
      batches: batches as a function of the step.
      total_steps: steps of the run, the limit of batches made ahead.
      **kwargs: arguments of `t5x.trainer.Trainer`.
    """
    super().__init__(*args, **kwargs)
    self._batches = batches
    self._total_steps = total_steps
    self._feed = prefetch.Prefetch(batches, total_steps)
    self._sharding = jax.sharding.NamedSharding(
      self._partitioner.mesh, self._partitioner.data_partition_spec
    )

  def train(
    self, batch_iter: Any, num_steps: int, start_step: int | None = None
  ) -> Any:
    """See T5X; the iterator's values are ignored."""
    if start_step is None:
      start_step = int(self.train_state.step)
    if start_step + num_steps > self._total_steps:
      raise errors.ConfigError(
        f'T5X is to train to step {start_step + num_steps}, and the run ends '
        f'at {self._total_steps}; bind LoopConfig.total_steps (STEPS) alone.'
      )
    batches = self._from_step(start_step)
    return super().train(batches, num_steps, start_step)

  def _from_step(self, step: int) -> Iterator[dict[str, jax.Array]]:
    while True:
      batch = converter.mark(
        dict(self._feed.batch(step)), self._batches.unit_at(step)
      )
      yield batches_lib.place(batch, self._sharding)
      step += 1

  def compile_train(self, batch: Mapping[str, Any]) -> None:
    """Does nothing: T5X's example has the shape of no layout."""

  def close(self) -> None:
    """Ends the threads that make batches and write metrics."""
    self._feed.close()
    super().close()


@gin.register
def layout_trainer(**kwargs: Any) -> LayoutTrainer:
  """T5X's `trainer_cls` for the run that gin binds.

  Args:
    **kwargs: arguments that T5X passes to a trainer.
  """
  made = experiment.current()
  accumulate = made.optimizer.accumulate
  return LayoutTrainer(
    batches=made.parts.batches,
    total_steps=made.loop.total_steps,
    learning_rate_fn=functools.partial(
      optimizers.learning_rate, made.optimizer, made.loop.total_steps
    ),
    num_microbatches=accumulate if accumulate > 1 else None,
    **kwargs,
  )
