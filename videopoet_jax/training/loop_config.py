"""Length, saving, logging and validation of a run."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.core import errors


@dataclasses.dataclass(frozen=True)
class LoopConfig:
  """Length of a run, and its saving, logging and validation.

  A run is its steps: schedules end with the last one. To fill a given time,
  choose the steps from the rate that a short run prints.

  Attributes:
    total_steps: steps of the whole run, those before a resume included.
    seed: seed of the initial parameters and everything random in a step.
    ema_decay: decay of the averaged parameters; 0 keeps none.
    log_every: steps between log lines with metrics.
    save_every: steps between checkpoints; the last step is always saved.
    keep: number of newest checkpoints to keep.
    keep_every: checkpoints of multiples of this are kept for good; 0 none.
    keep_best: a validation metric, such as 'validation/loss': a step that is
      better than all before is saved, and kept until a better one; '' none.
    best_is_highest: whether a higher value of that metric is better.
    validate_every: steps between validations, the last step is always
      validated; 0 never validates.
    max_skipped_in_a_row: number of consecutive steps that are not finite at
      which the run stops, a few steps later.
    tensorboard: whether to write TensorBoard files beside `metrics.jsonl`.
    compile_ahead: whether to compile units in a thread while training begins
      with those that are done.
    compiler_options: options of XLA. With many layouts and little training,
      {'xla_backend_optimization_level': 1} saves a third of the compilation on
      a CPU, without slowing a small model.
  """

  total_steps: int = 1000
  seed: int = 0
  ema_decay: float = 0.0
  log_every: int = 50
  save_every: int = 500
  keep: int = 2
  keep_every: int = 0
  keep_best: str = ''
  best_is_highest: bool = False
  validate_every: int = 0
  max_skipped_in_a_row: int = 20
  tensorboard: bool = True
  compile_ahead: bool = True
  compiler_options: Mapping[str, Any] | None = None

  def __post_init__(self) -> None:
    errors.check_range(
      self, 'total_steps', 'log_every', 'save_every', 'keep',
      'max_skipped_in_a_row', least=1,
    )  # fmt: skip
    errors.check_range(self, 'keep_every', 'validate_every')
    # Random keys are made of 64 bits, those of data orders of 32.
    errors.check_range(self, 'seed', most=2**32 - 1)
    errors.check_range(self, 'ema_decay', most=1 - 1e-9)
    if self.keep_best and not self.validate_every:
      raise errors.ConfigError(
        f'LoopConfig.keep_best is {self.keep_best!r} and validate_every is 0: '
        'set the steps between validations, since they give that metric'
      )
