"""Measures an optimizer's update of a matrix relative to its size.

A learning rate means different things to different optimizers: AdamW moves each
parameter by about the rate itself, Adafactor by the rate times the root mean
square of the matrix. The comparable quantity is the update's root mean square
over that of the matrix.
"""

import dataclasses

import jax
import jax.numpy as jnp

from videopoet_jax.training import optimizers
from videopoet_jax.training import schedules

# Steps after which moments no longer depend on their start at zero.
_SETTLED = 100


def relative_update(
  config: optimizers.OptimizerConfig,
  total_steps: int,
  step: int,
  *,
  width: int,
  signal: float = 0.0,
  seed: int = 0,
) -> float:
  """The root mean square of a step's update over that of the matrix.

  The matrix is (width, width) as it is initialized, of root mean square 1 /
  sqrt(width). Its gradients are drawn from a normal distribution: a part that
  is the same in every step, and noise, as in late training where noise
  dominates.

  Args:
    config: config of the optimizer; weight decay is left out.
    total_steps: steps of the run.
    step: step, from 0, whose learning rate is used.
    width: rows and columns of the matrix.
    signal: share of the gradient's variance that is the same in every step.
    seed: seed of the draws.
  """
  # The rate is multiplied in at the end: a rate of 1 and no schedule here.
  plain = dataclasses.replace(
    config,
    learning_rate=1.0,
    weight_decay=0.0,
    clip_norm=0.0,
    schedule=schedules.ScheduleConfig('constant', warmup_steps=0),
  )
  axes = {'kernel': jax.sharding.PartitionSpec('embed', 'mlp')}
  optimizer = optimizers.create(plain, total_steps, axes)
  keys = jax.random.split(jax.random.key(seed), 3)
  shape = (width, width)
  params = {'kernel': jax.random.normal(keys[0], shape) / jnp.sqrt(width)}
  common = jax.random.normal(keys[1], shape) * jnp.sqrt(signal)

  def body(index: jax.Array, carry: tuple) -> tuple:
    state, _ = carry
    noise = jax.random.normal(jax.random.fold_in(keys[2], index), shape)
    gradients = {'kernel': common + jnp.sqrt(1.0 - signal) * noise}
    updates, state = optimizer.update(gradients, state, params)
    return state, updates

  state = optimizer.init(params)
  zeros = jax.tree.map(jnp.zeros_like, params)
  _, updates = jax.lax.fori_loop(0, _SETTLED, body, (state, zeros))
  ratio = _rms(updates['kernel']) / _rms(params['kernel'])
  rate = optimizers.learning_rate(config, total_steps, step)
  return float(ratio * rate)


def _rms(array: jax.Array) -> jax.Array:
  return jnp.sqrt(jnp.mean(jnp.square(array)))
