"""The state that a run starts with: restored, adapted or fresh."""

from collections.abc import Mapping
import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp

from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.training import adaptation
from videopoet_jax.training import batches as batches_lib
from videopoet_jax.training import low_rank
from videopoet_jax.training import lowering
from videopoet_jax.training import setup as setup_lib
from videopoet_jax.training import state as state_lib
from videopoet_jax.training import tokenizer_start


@dataclasses.dataclass(frozen=True)
class Start:
  """What a run starts with.

  Attributes:
    state: state before the first step.
    train_step: the step to be compiled for each unit.
    counts: number of batches of each unit that the run was trained on before.
    frozen: parameters that are not trained; None for none.
  """

  state: state_lib.TrainState
  train_step: lowering.TrainStep
  counts: dict[str, int]
  frozen: Any = None


def start(
  setup: setup_lib.Setup, init_from: str | os.PathLike[str] | None
) -> Start:
  """Restores the newest checkpoint, or begins.

  Args:
    setup: what is trained.
    init_from: checkpoint folder whose parameters a fresh run begins with.

  Raises:
    UserError: a batch cannot be divided, or a checkpoint does not fit.
  """
  batch = setup.batches.batch(0)
  setup.check_size(setup.batches.unit_at(0), batch)
  train_step = lowering.prepare(
    setup.trainable,
    setup.optimizer,
    setup.mesh,
    setup.rules,
    total_steps=setup.config.total_steps,
    seed=setup.config.seed,
    ema_decay=setup.config.ema_decay,
    batch=batch,
  )
  _announce(setup, train_step)
  shapes = train_step.state
  restored = setup.checkpoints.restore(
    state_lib.to_items(shapes), optional=(state_lib.EMA,)
  )
  if restored is not None:
    return _resume(setup, train_step, *restored)
  adapters = isinstance(setup.trainable, low_rank.LowRankTrainable)
  if not init_from:
    return Start(_fresh(setup, train_step, batch), train_step, {})
  if adapters:
    return _with_adapters(setup, train_step, batch, init_from)
  described = setup.trainable.describe()
  if adaptation.is_text_decoder(init_from, described):
    state = _fresh(setup, train_step, batch)
    params = adaptation.take_text_decoder(
      init_from, described, state.params, setup.log
    )
  elif described['kind'] == tokenizer_start.KIND:
    state = _fresh(setup, train_step, batch)
    params = tokenizer_start.take(init_from, state.params, setup.log)
  else:
    params = adaptation.load(init_from, described, shapes.params, setup.log)
    setup.log(f'step 0 with the parameters of {init_from}, fresh optimizer')
  state = jax.jit(train_step.create, out_shardings=train_step.shardings)(params)
  return Start(state, train_step, {})


def _resume(
  setup: setup_lib.Setup,
  train_step: lowering.TrainStep,
  items: dict[str, Any],
  counters: Mapping[str, Any],
) -> Start:
  shapes = train_step.state
  if shapes.ema is not None and state_lib.EMA not in items:
    items[state_lib.EMA] = jax.jit(
      lambda params: jax.tree.map(jnp.copy, params),
      out_shardings=train_step.shardings.ema,
    )(items['params'])
    setup.log(
      f'LoopConfig.ema_decay is {setup.config.ema_decay} and the checkpoint '
      'holds no averaged parameters: the average begins with its parameters'
    )
  state = state_lib.from_items(items, shapes)
  if counters.get('data'):
    _restore_data(setup, counters['data'])
  frozen = None
  if isinstance(setup.trainable, low_rank.LowRankTrainable):
    frozen = low_rank.resume_base(
      setup.trainable, setup.run_dir, train_step.frozen
    )
  setup.log(f'resuming {setup.run_dir} after step {int(state.step)}')
  return Start(state, train_step, dict(counters['batches']), frozen)


def _with_adapters(
  setup: setup_lib.Setup,
  train_step: lowering.TrainStep,
  batch: Mapping[str, Any],
  init_from: str | os.PathLike[str],
) -> Start:
  assert isinstance(setup.trainable, low_rank.LowRankTrainable)
  frozen = low_rank.begin_base(
    setup.trainable, setup.run_dir, init_from, train_step.frozen, setup.log
  )
  setup.log(f'step 0 with adapters of the parameters of {init_from}')
  return Start(_fresh(setup, train_step, batch), train_step, {}, frozen)


def _fresh(
  setup: setup_lib.Setup,
  train_step: lowering.TrainStep,
  batch: Mapping[str, Any],
) -> state_lib.TrainState:
  def begin(rng: jax.Array, batch: Any) -> state_lib.TrainState:
    return train_step.create(rules_lib.unbox(setup.trainable.init(rng, batch)))

  return jax.jit(begin, out_shardings=train_step.shardings)(
    jax.random.key(setup.config.seed), setup.place(batch)
  )


def _restore_data(setup: setup_lib.Setup, state: Mapping[str, Any]) -> None:
  data = setup.batches
  if not isinstance(data, batches_lib.Resumable):
    return
  own = batches_lib.sizes(data)
  data.restore(state)
  sizes = batches_lib.sizes(data)
  if sizes != own:
    setup.log(
      'batches keep the sizes that the run began with: '
      f'{_listed(sizes)}; begun here they would be {_listed(own)}'
    )


def _listed(sizes: Mapping[str, int]) -> str:
  return ', '.join(f'{size} of {unit}' for unit, size in sizes.items())


def _announce(setup: setup_lib.Setup, train_step: lowering.TrainStep) -> None:
  size = sum(x.size for x in jax.tree.leaves(train_step.state.params))
  fixed = sum(x.size for x in jax.tree.leaves(train_step.frozen))
  beside = f' of adapters of {fixed / 1e6:.2f} M frozen ones' if fixed else ''
  units = setup.batches.units()
  setup.log(
    f'{setup.trainable.name}: {size / 1e6:.2f} M parameters{beside} on '
    f'{mesh_lib.describe(setup.mesh)}; {len(units)} unit(s) to compile, '
    f'{setup.config.total_steps} steps'
  )
