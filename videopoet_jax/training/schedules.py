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

  def schedule(count: optax.ScalarOrSchedule) -> jnp.ndarray:
    step = jnp.asarray(count, jnp.float32)
    rising = (step + 1.0) / max(warmup, 1)
    left = max(total_steps - warmup, 1)
    progress = jnp.clip((step - warmup) / left, 0.0, 1.0)
    if config.name == 'cosine':
      wave = 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
      falling = config.final + (1.0 - config.final) * wave
    elif config.name == 'wsd':
      decay = max(config.decay_share * total_steps, 1.0)
      part = jnp.clip((step - (total_steps - decay)) / decay, 0.0, 1.0)
      falling = 1.0 + (config.final - 1.0) * part
    elif config.name == 'inverse_sqrt':
      base = max(warmup, 1)
      falling = jnp.sqrt(base / jnp.maximum(step + 1.0, base))
    else:
      falling = jnp.ones_like(step)
    return peak * jnp.where(step < warmup, jnp.minimum(rising, 1.0), falling)

  return schedule
