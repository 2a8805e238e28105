"""Reads the bindings of a run file of this project for T5X's mains.

The same gin files serve `videopoet train` and T5X: the model, the data, the
optimizer, the mesh and the lengths of a run are taken from their bindings of
`train`. Settings without a counterpart in T5X are refused.
"""

from collections.abc import Iterable
import dataclasses
import functools
from typing import Any

import gin
import jax

from videopoet_jax.core import bindings
from videopoet_jax.core import errors
from videopoet_jax.experiments import experiment as experiment_lib
from videopoet_jax.experiments import prefix_lm as prefix_lm_lib
from videopoet_jax.experiments import train as train_lib
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.training import batches as batches_lib
from videopoet_jax.training import loop_config
from videopoet_jax.training import optimizers
from videopoet_jax.training import prefix_lm
from videopoet_jax.training import watchdog as watchdog_lib

# Settings of `LoopConfig` that T5X's loop has under other names; all others
# must
# keep their defaults.
_TAKEN = (
  'total_steps',
  'seed',
  'log_every',
  'save_every',
  'keep',
  'validate_every',
)
# Bindings of the command line, `NAME = VALUE`.
_given: list[str] = []


def give(bindings_of_flags: Iterable[str]) -> None:
  """Stores the bindings of the command line, to be checked for use.

  Args:
    bindings_of_flags: `NAME = VALUE` each.
  """
  _given[:] = bindings_of_flags


@dataclasses.dataclass(frozen=True)
class Experiment:
  """A run for T5X.

  Attributes:
    parts: language model, its data and the folders that belong to it.
    trainable: model without the description of its origin.
    loop: lengths of the run.
    optimizer: config of the optimizer.
    mesh: the mesh of all devices.
    rules: logical to mesh axes.
    low_rank: adapters, which T5X cannot train.
    watchdog: config of the watchdog, which T5X does not have.
  """

  parts: experiment_lib.Parts
  trainable: prefix_lm.PrefixLMTrainable
  loop: loop_config.LoopConfig
  optimizer: optimizers.OptimizerConfig
  mesh: jax.sharding.Mesh
  rules: rules_lib.Rules
  low_rank: Any = None
  watchdog: watchdog_lib.WatchdogConfig | None = None

  def check_training(self) -> None:
    """Refuses settings without a counterpart in T5X's training.

    Raises:
      ConfigError: a setting cannot act, or T5X cannot use two periods.
    """
    check_loop(self.loop)
    if self.low_rank is not None:
      raise errors.ConfigError(
        'train.low_rank is set, and T5X trains all parameters; adapt with '
        '`videopoet train`.'
      )
    default = watchdog_lib.WatchdogConfig()
    if (self.watchdog or default) != default:
      raise errors.ConfigError(
        'WatchdogConfig is set, and T5X has no watchdog; leave its defaults.'
      )


@functools.cache
def current() -> Experiment:
  """Returns the run that gin binds; its data are opened once.

  Raises:
    UserError: a value is invalid, or T5X does not support it.
  """
  # A macro that holds a configurable is called in a scope of its own name.
  with gin.config_scope(None):
    bindings.check_types()
    bindings.check_used(_given)
    found = train_lib.bound()
  parts, loop = found['parts'], found['loop']
  if not isinstance(parts.trainable, prefix_lm_lib.LanguageTrainable):
    raise errors.ConfigError(
      f'train.parts is a {parts.trainable.name}; T5X trains the language model '
      'alone (@prefix_lm()). Train others with `videopoet train`.'
    )
  made = Experiment(
    parts,
    parts.trainable.inner,
    loop,
    found['optimizer'],
    mesh_lib.create(found.get('mesh') or mesh_lib.MeshConfig()),
    found.get('rules', rules_lib.STANDARD),
    found.get('low_rank'),
    found.get('watchdog'),
  )
  batches_lib.share(
    parts.batches,
    parts.validation,
    made.mesh,
    made.rules,
    made.optimizer.accumulate,
  )
  return made


def check_loop(loop: loop_config.LoopConfig) -> None:
  """Refuses settings without a counterpart in T5X's loop.

  Raises:
    ConfigError: a setting differs from its default and cannot act, or neither
      the steps between saves nor those between validations divide the other.
  """
  save, validate = loop.save_every, loop.validate_every
  if validate and max(save, validate) % min(save, validate):
    raise errors.ConfigError(
      f'LoopConfig.save_every is {save} and LoopConfig.validate_every '
      f'{validate}; T5X needs one to be a multiple of the other.'
    )
  for field in dataclasses.fields(loop):
    value = getattr(loop, field.name)
    if field.name not in _TAKEN and value != field.default:
      raise errors.ConfigError(
        f'LoopConfig.{field.name} is {value!r}, and T5X has nothing like it '
        f'(docs/t5x.md); set it to {field.default!r}: '
        f'--gin.LoopConfig.{field.name}={field.default!r}'
      )


# Functions that gin/t5x/*.gin bind to T5X's parameters.


@gin.register
def total_steps() -> int:
  """`LoopConfig.total_steps`; refuses settings that T5X does not support."""
  made = current()
  made.check_training()
  return made.loop.total_steps


@gin.register
def seed() -> int:
  """`LoopConfig.seed`."""
  return current().loop.seed


@gin.register
def save_every() -> int:
  """`LoopConfig.save_every`."""
  return current().loop.save_every


@gin.register
def keep() -> int:
  """`LoopConfig.keep`."""
  return current().loop.keep


@gin.register
def log_every() -> int:
  """`LoopConfig.log_every`."""
  return current().loop.log_every


@gin.register
def validate_every() -> int:
  """`LoopConfig.validate_every`."""
  return current().loop.validate_every
