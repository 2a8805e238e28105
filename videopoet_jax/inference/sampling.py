"""Draws ids from logits: temperature, top-k, top-p and guidance."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from videopoet_jax.core import errors

_NEVER = -1e30


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
  """Settings of sampling.

  With factor heads, top-k and top-p apply to each factor.

  Attributes:
    temperature: divides the logits; 0 takes the most likely id.
    first_temperature: replaces it for the first latent frame of a video that is
      generated from its start: the first frame decides what is shown, later
      ones how it moves. None uses `temperature` throughout.
    top_k: number of most likely ids that may be drawn; 0 for all.
    top_p: only the most likely ids with this total probability; 1 for all.
    guidance: weight of classifier-free guidance (arXiv 2207.12598): logits are
      `without + guidance * (with - without)`; 1 turns it off at no cost, any
      other value doubles the batch.
    guide_on: conditions of the prefix that are hidden in `without`, by feature
      (`text`, `audio_tokens`).
  """

  temperature: float = 1.0
  top_k: int = 0
  top_p: float = 1.0
  guidance: float = 1.0
  first_temperature: float | None = None
  guide_on: tuple[str, ...] = ('text',)

  def __post_init__(self) -> None:
    if isinstance(self.guide_on, str) or not self.guide_on:
      raise errors.ConfigError(
        f'guide_on is {self.guide_on!r}; it must be a list of conditions, such '
        "as ['text']."
      )
    # gin gives lists.
    object.__setattr__(self, 'guide_on', tuple(dict.fromkeys(self.guide_on)))
    for name, good, wish in (
      ('temperature', 0 <= self.temperature < math.inf, 'at least 0'),
      ('top_k', self.top_k >= 0, 'at least 0'),
      ('top_p', 0 < self.top_p <= 1, 'above 0 and at most 1'),
      ('guidance', 0 <= self.guidance < math.inf, 'at least 0'),
    ):
      if not good:
        raise errors.ConfigError(
          f'{name} is {getattr(self, name)}; it must be {wish}.'
        )
    if self.temperature == 0 and (self.top_k or self.top_p < 1):
      raise errors.ConfigError(
        f'temperature 0 takes the likeliest id, so top_k {self.top_k} and '
        f'top_p {self.top_p:g} cannot act; leave them out.'
      )
    if self.first_temperature is not None and not (
      self.first_temperature > 0 and self.temperature > 0
    ):
      raise errors.ConfigError(
        f'first_temperature is {self.first_temperature} and temperature '
        f'{self.temperature}; both must be above 0 where both are given.'
      )

  @property
  def is_guided(self) -> bool:
    return self.guidance != 1.0


DEFAULT = SamplingConfig()


def restrict(logits_BV: jax.Array, config: SamplingConfig) -> jax.Array:
  """Masks ids that top-k and top-p do not admit.

  Args:
    logits_BV: float32, temperature applied.
    config: settings of sampling.

  Returns:
    float32 (B, V), very low where an id may not be drawn; the most likely id is
    always kept.
  """
  if config.top_k and config.top_k < logits_BV.shape[-1]:
    lowest_B1 = jax.lax.top_k(logits_BV, config.top_k)[0][:, -1:]
    logits_BV = jnp.where(logits_BV < lowest_B1, _NEVER, logits_BV)
  if config.top_p < 1.0:
    sorted_BV = -jnp.sort(-logits_BV, axis=-1)
    share_BV = jax.nn.softmax(sorted_BV, axis=-1)
    before_BV = jnp.cumsum(share_BV, axis=-1) - share_BV
    kept_BV = jnp.where(before_BV < config.top_p, sorted_BV, jnp.inf)
    lowest_B1 = jnp.min(kept_BV, axis=-1, keepdims=True)
    logits_BV = jnp.where(logits_BV < lowest_B1, _NEVER, logits_BV)
  return logits_BV


def guide(
  logits_BV: jax.Array, guidance: jax.Array | float, is_guided: bool
) -> jax.Array:
  """Combines the two halves of a guided batch.

  Args:
    logits_BV: logits with the condition, then without; (2 B, V) if guided.
    guidance: weight of the guidance.
    is_guided: whether there are two halves.

  Returns:
    (B, V).
  """
  if not is_guided:
    return logits_BV
  given_BV, free_BV = jnp.split(logits_BV, 2)
  return free_BV + guidance * (given_BV - free_BV)


def draw(
  logits_BV: jax.Array,
  keys_B: jax.Array,
  config: SamplingConfig,
  temperature: jax.Array | float | None = None,
) -> jax.Array:
  """Draws one id from each row.

  Args:
    logits_BV: float32, guidance applied.
    keys_B: a key for each row, so that a sample does not depend on its batch.
    config: settings of sampling.
    temperature: temperature of this position, above 0; that of `config` unless
      given.

  Returns:
    int32 (B,).
  """
  if config.temperature == 0.0:
    return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)
  if temperature is None:
    temperature = config.temperature
  restricted_BV = restrict(logits_BV / temperature, config)
  return jax.vmap(jax.random.categorical)(keys_B, restricted_BV).astype(
    jnp.int32
  )
