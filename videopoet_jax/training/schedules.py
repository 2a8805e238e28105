"""Learning rates over a run, as shares of a peak."""

import dataclasses

import jax.numpy as jnp
import optax

from videopoet_jax.core import errors

SCHEDULES = ('constant', 'cosine', 'wsd', 'inverse_sqrt')


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
  """Shape of the learning rate over a run.

  Attributes:
    name: shape after the warm-up: 'constant'; 'cosine' down to `final` at the
      last step; 'wsd' (warm-up, stable, decay), constant and then down to
      `final` linearly over the last steps; 'inverse_sqrt', with the square root
      of warm-up steps over the step.
    warmup_steps: steps over which it rises linearly from 0.
    final: learning rate of the last step as a share of the peak.
    decay_share: 'wsd': share of the run that the decay takes.
  """

  name: str = 'cosine'
  warmup_steps: int = 100
  final: float = 0.0
  decay_share: float = 0.2

  def __post_init__(self) -> None:
    if self.name not in SCHEDULES:
      hint = errors.near_names(self.name, SCHEDULES)
      raise errors.ConfigError(
        f'ScheduleConfig.name: there is no schedule {self.name!r}{hint}'
      )
    errors.check_range(self, 'warmup_steps')
    errors.check_range(self, 'final', 'decay_share', most=1)


def create(
  config: ScheduleConfig, peak: float, total_steps: int
) -> optax.Schedule:
  """Makes the schedule: step (from 0) to learning rate.

  Args:
    config: shape of the schedule.
    peak: the highest learning rate.
    total_steps: steps of the run; the decay ends there.
  """
  warmup = min(config.warmup_steps, max(total_steps - 1, 0))
  falling = _after_warmup(config, peak, total_steps, warmup)
  if not warmup:
    return falling
  # Step 0 learns too, and the last step of the warm-up has the peak.
  rising = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
  return optax.join_schedules([rising, falling], [warmup])


def _after_warmup(
  config: ScheduleConfig, peak: float, total_steps: int, warmup: int
) -> optax.Schedule:
  """What follows the warm-up, by the steps after it."""
  left = max(total_steps - warmup, 1)
  if config.name == 'cosine':
    return optax.cosine_decay_schedule(peak, left, config.final)
  if config.name == 'wsd':
    decay = max(round(config.decay_share * total_steps), 1)
    return optax.linear_schedule(
      peak, peak * config.final, decay, max(total_steps - decay - warmup, 0)
    )
  if config.name == 'inverse_sqrt':
    # Optax has none. `warmup` steps lie before the first of these.
    base = max(warmup, 1)
    return lambda step: (
      peak * jnp.sqrt(base / jnp.maximum(step + warmup + 1.0, base))
    )
  # Of the shape of its steps, which `optax.constant_schedule` is not.
  return optax.linear_schedule(peak, peak, 1)
