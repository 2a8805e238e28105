"""Makes an Optax transformation from a frozen config.

Parameters of a scan over layers are stacked along an axis named 'layers'. An
optimizer must treat layers separately: Muon orthogonalizes each layer's matrix,
Adafactor factors and clips layer by layer. The logical axis names that the
parameters carry identify that axis.
"""

from collections.abc import Mapping
import dataclasses
import re
from typing import Any, NamedTuple

import jax
import optax
import optax.contrib

from videopoet_jax.core import errors
from videopoet_jax.training import gram_muon
from videopoet_jax.training import schedules

OPTIMIZERS = ('adamw', 'adafactor', 'muon')
# Branches of the parameters of adversarial training; see `branches`.
GENERATOR = 'generator'
DISCRIMINATOR = 'discriminator'
STATISTICS = 'statistics'
LAYERS = 'layers'

_HEADS = ('heads', 'kv_heads')
# Axes of tables, whose rows are looked up: they have no meaning as matrices.
_TABLES = ('vocab', 'output_vocab', 'code', 'relative_buckets')
# Axes of matrices that Adam updates. Kernels of cell inputs learn as well from
# Adam, in half the time of a tiny model's update.
_BY_ADAM = (*_TABLES, 'cell_features')


@dataclasses.dataclass(frozen=True)
class DiscriminatorOptimizerConfig:
  """The optimizer of a discriminator: Adam.

  Attributes:
    learning_rate: peak learning rate; the schedule is the generator's.
    beta1: decay of the first moment; 0 is usual for discriminators.
    beta2: decay of the second moment.
    epsilon: added to the root of the second moment.
    clip_norm: largest gradient norm of the discriminator; 0 does not clip.
    average_decay: decay of the moving averages of logits (LeCAM's alpha).
  """

  learning_rate: float = 1e-4
  beta1: float = 0.0
  beta2: float = 0.99
  epsilon: float = 1e-8
  clip_norm: float = 1.0
  average_decay: float = 0.999

  def __post_init__(self) -> None:
    errors.check_range(self, 'learning_rate', 'clip_norm')
    errors.check_range(self, 'epsilon', above=True)
    errors.check_range(self, 'beta1', 'beta2', 'average_decay', most=1 - 1e-9)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """The optimizer of a run.

  Attributes:
    name: 'adamw', 'adafactor' or 'muon'.
    learning_rate: peak learning rate; with Muon, that of matrices only.
    adam_learning_rate: Muon: peak learning rate of all other parameters.
    schedule: schedule of both over the run.
    beta1: decay of the first moment.
    momentum: Muon: decay of the momentum of its matrices.
    beta2: decay of Adam's second moment.
    adafactor_decay: exponent of Adafactor's second moment decay.
    epsilon: added to the root of the second moment of Adam, of Muon's Adam
      too; Adafactor's second moment has a constant of its own (1e-30).
    weight_decay: decoupled weight decay, times the learning rate.
    decay_excluded: pattern of parameter paths that do not decay: by default
      tables of places and of halves of bits, whose rows are looked up. Tables
      of ids, codebooks and vectors (biases, scales) never decay.
    muon_excluded: pattern of parameter paths that Adam updates even though
      they are matrices; tables, vectors and kernels of cell inputs always are.
    clip_norm: largest global gradient norm; 0 does not clip.
    accumulate: number of parts a batch is split into, over which gradients are
      averaged: the same update with less memory.
    discriminator: optimizer of the discriminator of adversarial training,
      required there and refused elsewhere; the other fields are the
      generator's.
  """

  name: str = 'adamw'
  learning_rate: float = 1e-3
  adam_learning_rate: float = 2e-3
  schedule: schedules.ScheduleConfig = schedules.ScheduleConfig()
  beta1: float = 0.9
  momentum: float = 0.95
  beta2: float = 0.99
  adafactor_decay: float = 0.8
  epsilon: float = 1e-8
  weight_decay: float = 0.0
  decay_excluded: str = r"table|'(time|within)'"
  muon_excluded: str = 'embedding|table|codebook'
  clip_norm: float = 1.0
  accumulate: int = 1
  discriminator: DiscriminatorOptimizerConfig | None = None

  def __post_init__(self) -> None:
    if self.name not in OPTIMIZERS:
      hint = errors.near_names(self.name, OPTIMIZERS)
      raise errors.ConfigError(
        f'OptimizerConfig.name: there is no optimizer {self.name!r}{hint}'
      )
    if self.accumulate < 1:
      raise errors.ConfigError(
        f'OptimizerConfig.accumulate is {self.accumulate}; it must be at least '
        '1, the whole batch at once'
      )
    errors.check_range(
      self, 'learning_rate', 'adam_learning_rate', 'weight_decay', 'clip_norm'
    )
    errors.check_range(self, 'epsilon', 'adafactor_decay', above=True)
    errors.check_range(self, 'beta1', 'beta2', 'momentum', most=1 - 1e-9)
    for name in ('decay_excluded', 'muon_excluded'):
      try:
        re.compile(getattr(self, name))
      except re.error as error:
        raise errors.ConfigError(
          f'OptimizerConfig.{name} is {getattr(self, name)!r}, which is no '
          f'regular expression: {error}'
        ) from error


def _layer_axis(names: Any) -> int | None:
  return tuple(names).index(LAYERS) if LAYERS in tuple(names) else None


def _own_axes(names: Any) -> list[int]:
  """Axes of one layer's parameter, in order."""
  return [i for i, name in enumerate(tuple(names)) if name != LAYERS]


def decay_mask(config: OptimizerConfig, axes: Any) -> Any:
  """True for each parameter that decays: no vector, table or excluded path."""

  def decays(path: Any, names: Any) -> bool:
    excluded = re.search(config.decay_excluded, jax.tree_util.keystr(path))
    return (
      len(_own_axes(names)) > 1
      and not set(_TABLES) & set(tuple(names))
      and not (config.decay_excluded and excluded)
    )

  return _map_axes(decays, axes)


def muon_dimensions(config: OptimizerConfig, axes: Any) -> Any:
  """Axes of each parameter that are its matrix's rows and columns.

  Rows are the axes that are summed over: all but the last. Neither layers nor
  heads are rows: Muon treats every layer's every head as a matrix of its own.

  Args:
    config: the optimizer.
    axes: logical names of each parameter's dimensions.

  Returns:
    A tree of MuonDimensionNumbers; None for parameters of Adam.
  """

  def dimensions(path: Any, names: Any) -> Any:
    own = _own_axes(names)
    excluded = config.muon_excluded and re.search(
      config.muon_excluded, jax.tree_util.keystr(path)
    )
    if len(own) < 2 or excluded or set(_BY_ADAM) & set(tuple(names)):
      return None
    # Each head is a matrix of its own: heads are unrelated, and iterating on
    # small
    # matrices costs a fraction.
    own = [i for i in own if tuple(names)[i] not in _HEADS]
    rows = len(own) - 1
    return optax.contrib.MuonDimensionNumbers(
      tuple(own[:rows]), tuple(own[rows:])
    )

  return _map_axes(dimensions, axes)


def _map_axes(function: Any, axes: Any) -> Any:
  return jax.tree_util.tree_map_with_path(
    function, axes, is_leaf=lambda x: isinstance(x, jax.sharding.PartitionSpec)
  )


class PerLayerState(NamedTuple):
  """State of `per_layer`.

  Attributes:
    leaves: inner state of each parameter; under a scan it has one more axis.
  """

  leaves: list[Any]


def per_layer(
  inner: optax.GradientTransformation, axes: Any
) -> optax.GradientTransformation:
  """Applies a transformation to every layer of every parameter by itself.

  Args:
    inner: transformation that treats each parameter separately.
    axes: logical names of each parameter's dimensions.
  """
  layer_axes = [
    _layer_axis(names)
    for names in jax.tree.leaves(
      axes, is_leaf=lambda x: isinstance(x, jax.sharding.PartitionSpec)
    )
  ]

  def init(params: Any) -> PerLayerState:
    leaves = []
    for leaf, axis in zip(jax.tree.leaves(params), layer_axes):
      function = inner.init
      if axis is not None:
        function = jax.vmap(inner.init, in_axes=axis)
      leaves.append(function(leaf))
    return PerLayerState(leaves)

  def update(
    updates: Any, state: PerLayerState, params: Any = None
  ) -> tuple[Any, PerLayerState]:
    treedef: Any
    flat, treedef = jax.tree.flatten(updates)
    new_updates, new_leaves = [], []
    for update_, old, leaf, axis in zip(
      flat, state.leaves, treedef.flatten_up_to(params), layer_axes
    ):
      function = inner.update
      if axis is not None:
        function = jax.vmap(inner.update, (axis, 0, axis), (axis, 0))
      changed, new = function(update_, old, leaf)
      new_updates.append(changed)
      new_leaves.append(new)
    return treedef.unflatten(new_updates), PerLayerState(new_leaves)

  return optax.GradientTransformation(init, update)


def _adafactor(
  config: OptimizerConfig, axes: Any
) -> optax.GradientTransformation:
  # Factored second moment, clipped and scaled by the size of the parameter:
  # Shazeer and Stern (2018), with an external learning rate schedule.
  inner = optax.chain(
    optax.scale_by_factored_rms(decay_rate=config.adafactor_decay),
    optax.clip_by_block_rms(1.0),
    optax.scale_by_param_block_rms(),
  )
  return per_layer(inner, axes)


def create(
  config: OptimizerConfig, total_steps: int, axes: Any
) -> optax.GradientTransformation:
  """Makes the optimizer of a run.

  Args:
    config: config of the optimizer.
    total_steps: steps of the run: the schedule's end.
    axes: tree of the parameters' logical axis names
      (`parallel.rules.logical_axes`).

  Returns:
    A transformation of gradients to updates, with clipping, decay and schedule.

  Raises:
    ConfigError: `discriminator` is given where there is none, or is missing.
  """
  is_adversarial = isinstance(axes, dict) and DISCRIMINATOR in axes
  if is_adversarial and config.discriminator is None:
    raise errors.ConfigError(
      'this run trains a discriminator, which has no optimizer; bind '
      'OptimizerConfig.discriminator = @DiscriminatorOptimizerConfig()'
    )
  if config.discriminator is not None:
    if not is_adversarial:
      raise errors.ConfigError(
        'OptimizerConfig.discriminator is bound, and this run has no '
        'discriminator; bind visual_tokenizer.discriminator, or leave it out'
      )
    return _adversarial(config, config.discriminator, total_steps, axes)
  return _single(config, total_steps, axes)


def _adversarial(
  config: OptimizerConfig,
  adversary: DiscriminatorOptimizerConfig,
  total_steps: int,
  axes: Any,
) -> optax.GradientTransformation:
  """An optimizer each for generator, discriminator and averages of logits."""
  adam = OptimizerConfig(
    name='adamw',
    learning_rate=adversary.learning_rate,
    schedule=config.schedule,
    beta1=adversary.beta1,
    beta2=adversary.beta2,
    epsilon=adversary.epsilon,
    clip_norm=adversary.clip_norm,
  )

  def branch(name: str) -> Any:
    return {name: axes[name]}

  return branches(
    {
      GENERATOR: _single(config, total_steps, branch(GENERATOR)),
      DISCRIMINATOR: _single(adam, total_steps, branch(DISCRIMINATOR)),
      STATISTICS: optax.sgd(1.0 - adversary.average_decay),
    }
  )


def branches(
  inner: Mapping[str, optax.GradientTransformation],
) -> optax.GradientTransformation:
  """Applies a transformation to each branch of the parameters.

  In contrast to `optax.partition` the others are absent from what each sees,
  so that transformations that know the shape of their tree work, and norms are
  those of a branch.

  Args:
    inner: transformations by name of the branch, one for every branch; each is
      given the mapping with that branch alone.
  """

  def init(params: Any) -> dict[str, Any]:
    return {
      name: transformation.init({name: params[name]})
      for name, transformation in inner.items()
    }

  def update(
    updates: Any, state: dict[str, Any], params: Any = None
  ) -> tuple[Any, dict[str, Any]]:
    changed: dict[str, Any] = {}
    new_state: dict[str, Any] = {}
    for name, transformation in inner.items():
      part, new_state[name] = transformation.update(
        {name: updates[name]}, state[name], {name: params[name]}
      )
      changed |= part
    return changed, new_state

  return optax.GradientTransformation(init, update)


def _single(
  config: OptimizerConfig, total_steps: int, axes: Any
) -> optax.GradientTransformation:
  schedule = schedules.create(
    config.schedule, config.learning_rate, total_steps
  )
  decay = decay_mask(config, axes)
  chain = []
  if config.clip_norm:
    chain.append(optax.clip_by_global_norm(config.clip_norm))
  if config.name == 'muon':
    chain.append(
      gram_muon.gram_muon(
        schedule,
        schedules.create(
          config.schedule, config.adam_learning_rate, total_steps
        ),
        muon_dimensions(config, axes),
        beta=config.momentum,
        adam_b1=config.beta1,
        adam_b2=config.beta2,
        adam_epsilon=config.epsilon,
        weight_decay=config.weight_decay,
        decay_mask=decay,
      )
    )
    return optax.chain(*chain)
  if config.name == 'adafactor':
    chain.append(_adafactor(config, axes))
  else:
    chain.append(
      optax.scale_by_adam(config.beta1, config.beta2, config.epsilon)
    )
  if config.weight_decay:
    chain.append(optax.add_decayed_weights(config.weight_decay, decay))
  chain.append(optax.scale_by_learning_rate(schedule))
  return optax.chain(*chain)


def learning_rate(
  config: OptimizerConfig, total_steps: int, step: int | jax.Array
) -> jax.Array:
  """The learning rate at a step, for the log."""
  schedule = schedules.create(
    config.schedule, config.learning_rate, total_steps
  )
  return schedule(step)
