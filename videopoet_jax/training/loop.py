"""The one training loop: a straight story for every trainable.

Restore or begin; then for each step: its unit, its batch, the unit's compiled
step. Everything random is a function of (seed, step), so a resumed run equals
an uninterrupted one bit for bit.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import os
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.checkpoints import best as best_lib
from videopoet_jax.checkpoints import manager as manager_lib
from videopoet_jax.core import errors
from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.training import adaptation
from videopoet_jax.training import batches as batches_lib
from videopoet_jax.training import compiled_steps
from videopoet_jax.training import goodput as goodput_lib
from videopoet_jax.training import hosts as hosts_lib
from videopoet_jax.training import low_rank
from videopoet_jax.training import lowering
from videopoet_jax.training import metrics as metrics_lib
from videopoet_jax.training import optimizers
from videopoet_jax.training import prefetch
from videopoet_jax.training import signals
from videopoet_jax.training import skipped as skipped_lib
from videopoet_jax.training import state as state_lib
from videopoet_jax.training import throughput as throughput_lib
from videopoet_jax.training import trainable as trainable_lib
from videopoet_jax.training import validation as validation_lib
from videopoet_jax.training import watchdog as watchdog_lib

# Name, among the units' programs, of the one that all units share.
_UPDATE = '<update>'
# Figures that say nothing of what was learned.
_OF_SPEED = (
  'seconds', 'redone_steps', 'steps_per_second', 'examples_per_second',
  'tokens_per_second', 'skipped_steps', 'gradient_norm', 'learning_rate',
)  # fmt: skip
# Steps after which it is known whether one was skipped: reading it at once
# would let the devices wait for the host.
_LATE = 4
_ADAMW = optimizers.OptimizerConfig()
_ALL_DEVICES = mesh_lib.MeshConfig()
_WATCHDOG = watchdog_lib.WatchdogConfig()


@dataclasses.dataclass(frozen=True)
class LoopConfig:
  """How long a run is and what it does on the way.

  A run is its steps: schedules end with the last one. To fill a given time,
  choose the steps from the rate that a short run prints.

  Attributes:
    total_steps: steps of the whole run, those before a resume included.
    seed: of the initial parameters and everything random in a step.
    ema_decay: of the averaged parameters; 0 keeps none.
    log_every: steps between lines of figures.
    save_every: steps between checkpoints; the last step is always saved.
    keep: newest checkpoints that are kept.
    keep_every: checkpoints of multiples of this are kept for good; 0 none.
    keep_best: a validation figure, such as 'validation/loss': a step that is
      better than all before is saved, and kept until a better one; '' none.
    best_is_highest: whether more of that figure is better.
    validate_every: steps between validations, the last step is always
      validated; 0 never validates.
    max_skipped_in_a_row: steps that are not finite, one after the other, at
      which the run stops, a few steps later.
    tensorboard: whether to write TensorBoard files beside `metrics.jsonl`.
    compile_ahead: whether to compile units in a thread while training begins
      with those that are done.
    compiler_options: of XLA. Where there are many layouts and little training,
      {'xla_backend_optimization_level': 1} saves a third of the compiling on
      a CPU, and costs a small model no speed.
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
        'set the steps between validations, since they give that figure'
      )


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
  """What a run came to.

  Attributes:
    state: the state after the last step done.
    metrics: the last metrics logged, `validation/...` among them.
    steps: steps done, those before a resume included.
    seconds: time that the call took.
    signal: number of the signal that ended it, 0 if it ran to its end.
  """

  state: state_lib.TrainState
  metrics: Mapping[str, float]
  steps: int
  seconds: float
  signal: int = 0

  def __repr__(self) -> str:
    """In short: losses and the like, not the arrays."""
    shown = [
      f'{name} {value:.4g}'
      for name, value in self.metrics.items()
      if not name.startswith('goodput/') and name not in _OF_SPEED
    ]
    return f'{self.steps} steps in {self.seconds:.0f} s: {", ".join(shown)}'

  @property
  def params(self) -> Any:
    """The parameters to use the model with; of low-rank runs the adapters."""
    return state_lib.inference_params(self.state)


def run(
  trainable: trainable_lib.Trainable,
  batches: batches_lib.Batches,
  run_dir: str | os.PathLike[str],
  *,
  config: LoopConfig = LoopConfig(),
  optimizer: optimizers.OptimizerConfig = _ADAMW,
  mesh: mesh_lib.MeshConfig = _ALL_DEVICES,
  rules: rules_lib.Rules = rules_lib.STANDARD,
  validation: batches_lib.ValidationBatches | None = None,
  init_from: str | os.PathLike[str] | None = None,
  devices: Sequence[jax.Device] | None = None,
  watchdog: watchdog_lib.WatchdogConfig = _WATCHDOG,
  log: Callable[[str], None] = print,
) -> Result:
  """Trains to the last step, from the newest checkpoint in `run_dir` if any.

  Args:
    trainable: the model and its loss.
    batches: the training data.
    run_dir: the run's folder.
    config: length, saving and logging.
    optimizer: which, and its rates.
    mesh: devices along each axis.
    rules: logical to mesh axes.
    validation: data to score during training.
    init_from: checkpoint folder whose parameters a fresh run begins with
      (task adaptation: VideoPoet's second training stage).
    devices: to train on; all unless given.
    watchdog: when the run counts as hung.
    log: receives lines for the screen.

  Returns:
    State and figures of the last step done.

  Raises:
    UserError: mesh, folder or checkpoint do not fit.
    FloatingPointError: too many steps in a row were not finite; the folder
      holds what the last one was given.
  """
  began = time.monotonic()
  low_rank.check_start(trainable, run_dir, init_from)
  log_all_hosts = log
  log = log if jax.process_index() == 0 else lambda line: None
  compiled_steps.keep_on_disk(log=log)
  device_mesh = mesh_lib.create(mesh, devices)
  # From here on a signal ends the run only when what it did is on disk.
  with mesh_lib.use(device_mesh, rules), signals.listen() as stop:
    goodput = goodput_lib.Goodput()
    checkpoints = manager_lib.Manager(
      run_dir,
      trainable.describe(),
      keep=config.keep,
      keep_every=config.keep_every,
      best=best_lib.Best(config.keep_best, config.best_is_highest),
      settings=_settings(config, optimizer),
      log=log,
    )
    watch = watchdog_lib.Watchdog(
      watchdog, goodput, storage.path(run_dir), log_every=config.log_every,
      log=log_all_hosts,
    )  # fmt: skip
    try:
      story = _Story(
        trainable, batches, storage.path(run_dir), config, optimizer,
        device_mesh, rules, validation, checkpoints, stop, goodput, watch, log,
      )  # fmt: skip
      state, values = story.tell(init_from)
    finally:
      checkpoints.close()
      watch.close()
  return Result(
    state, values, int(state.step), time.monotonic() - began, stop.signal
  )


class _Story:
  """One call of `run`, with what its parts share."""

  def __init__(
    self,
    trainable: trainable_lib.Trainable,
    batches: batches_lib.Batches,
    run_dir: pathlib.Path,
    config: LoopConfig,
    optimizer: optimizers.OptimizerConfig,
    mesh: jax.sharding.Mesh,
    rules: rules_lib.Rules,
    validation: batches_lib.ValidationBatches | None,
    checkpoints: manager_lib.Manager,
    stop: signals.Stop,
    goodput: goodput_lib.Goodput,
    watchdog: watchdog_lib.Watchdog,
    log: Callable[[str], None],
  ) -> None:
    self.trainable = trainable
    self.batches = batches
    self.run_dir = run_dir
    self.config = config
    self.optimizer_config = optimizer
    self.mesh = mesh
    self.rules = rules
    self.validation = validation
    self.checkpoints = checkpoints
    self.stop = stop
    self.goodput = goodput
    self.watchdog = watchdog
    self.log = log
    self.counts: dict[str, int] = {}
    self.batch_sharding = rules_lib.batch_sharding(mesh, rules)
    self.parts = 1  # Of every batch, one of which this host reads.
    self.frozen: Any = None  # Parameters that are not trained.

  def tell(
    self, init_from: str | os.PathLike[str] | None
  ) -> tuple[state_lib.TrainState, dict[str, float]]:
    config, goodput = self.config, self.goodput
    with goodput.spend('start'):
      state = self._restore_or_begin(init_from)
      first = int(state.step)
    if first >= config.total_steps:
      self.log(f'{self.run_dir}: all {first} steps are done already')
      return state, {}

    train_programs = self._compile(first)
    validate = validation_lib.Validation(
      self.trainable, self.validation, self.place,
      seed=config.seed, compiler_options=config.compiler_options,
    )  # fmt: skip
    writer = metrics_lib.Writer(
      self.run_dir,
      first_step=first,
      tensorboard=config.tensorboard,
      enabled=jax.process_index() == 0,
    )
    feed = prefetch.Prefetch(self.batches, config.total_steps)
    throughput = throughput_lib.Throughput(
      first, config.total_steps, self.parts
    )
    hosts = hosts_lib.Hosts(self.mesh.local_devices)
    skipped = skipped_lib.Skipped(config.max_skipped_in_a_row, self.run_dir)
    values: dict[str, float] = {}
    try:
      for step in range(first, config.total_steps):
        unit = self.batches.unit_at(step)
        self.watchdog.at(step, unit)
        with goodput.spend('data'):
          host_batch = feed.batch(step)
        waited = goodput.last
        with goodput.spend('compile'):
          program = train_programs.get(unit)
          update = train_programs.get(_UPDATE)
        throughput.leave_out(goodput.last)
        asked = time.monotonic()
        batch = self.place(host_batch)
        hosts.add(waited, time.monotonic() - asked)
        skipped.check(step - _LATE)
        grads, metrics = program(state.params, batch, state.step, self.frozen)
        loss = {'loss': metrics['loss']}
        state, more = update(state, grads, loss)
        metrics = metrics | more
        self.counts[unit] = self.counts.get(unit, 0) + 1
        throughput.add(unit, metrics, host_batch)
        skipped.add(step, unit, metrics['skipped_in_a_row'], host_batch)

        done = step + 1
        is_last = done == config.total_steps
        stopping = self.stop.wanted(done)
        scores: dict[str, float] = {}
        if done % config.log_every == 0 or is_last or stopping:
          values |= self._log(throughput, hosts, writer, done)
          skipped.check(step)
        # A machine that is about to go leaves no time to score.
        due = _is_due(done, config.validate_every, is_last)
        if due and (is_last or not stopping):
          jax.block_until_ready(state.step)  # Steps are no validation.
          with goodput.spend('validation'):
            scores = validate(state_lib.inference_params(state), self.frozen)
          values |= self._report(scores, writer, done)
          throughput.leave_out(goodput.last)
        best = self.checkpoints.is_best(scores)
        if done % config.save_every == 0 or is_last or stopping or best:
          jax.block_until_ready(state.step)
          with goodput.spend('checkpoint'):
            self._save(done, state, scores)
            if is_last or stopping:
              self.checkpoints.wait()
        if is_last or stopping:
          values |= self._account(hosts, writer, done)
        if stopping:
          self.log(f'signal {self.stop.signal}: saved step {done}, stopping')
          break
    finally:
      feed.close()
      train_programs.close()
      writer.close()
    return state, values

  # Restore or begin.

  def _restore_or_begin(
    self, init_from: str | os.PathLike[str] | None
  ) -> state_lib.TrainState:
    self.parts = batches_lib.share(
      self.batches,
      self.validation,
      self.mesh,
      self.rules,
      self.optimizer_config.accumulate,
    )
    batch = self.batches.batch(0)
    self._check_size(self.batches.unit_at(0), batch)
    self.train_step = lowering.prepare(
      self.trainable,
      self.optimizer_config,
      self.mesh,
      self.rules,
      total_steps=self.config.total_steps,
      seed=self.config.seed,
      ema_decay=self.config.ema_decay,
      batch=batch,
    )
    create, shapes = self.train_step.create, self.train_step.state
    self._announce()
    restored = self.checkpoints.restore(
      state_lib.to_items(shapes), optional=(state_lib.EMA,)
    )
    if restored is not None:
      items, counters = restored
      if shapes.ema is not None and state_lib.EMA not in items:
        items[state_lib.EMA] = jax.jit(
          lambda params: jax.tree.map(jnp.copy, params),
          out_shardings=self.train_step.shardings.ema,
        )(items['params'])
        self.log(
          f'LoopConfig.ema_decay is {self.config.ema_decay} and the checkpoint '
          'holds no averaged parameters: the average begins with its parameters'
        )
      state = state_lib.from_items(items, shapes)
      self.counts = dict(counters['batches'])
      if counters.get('data'):
        self._restore_data(counters['data'])
      if isinstance(self.trainable, low_rank.LowRankTrainable):
        self.frozen = low_rank.resume_base(
          self.trainable, self.run_dir, self.train_step.frozen
        )
      self.log(f'resuming {self.run_dir} after step {int(state.step)}')
      return state
    if init_from and isinstance(self.trainable, low_rank.LowRankTrainable):
      self.frozen = low_rank.begin_base(
        self.trainable,
        self.run_dir,
        init_from,
        self.train_step.frozen,
        self.log,
      )
      self.log(f'step 0 with adapters of the parameters of {init_from}')
    elif init_from and not self._has_text_decoder(init_from):
      params = adaptation.load(
        init_from, self.trainable.describe(), shapes.params, self.log
      )
      self.log(f'step 0 with the parameters of {init_from}, fresh optimizer')
      return jax.jit(create, out_shardings=self.train_step.shardings)(params)

    def begin(rng: jax.Array, batch: Any) -> state_lib.TrainState:
      return create(rules_lib.unbox(self.trainable.init(rng, batch)))

    state = jax.jit(begin, out_shardings=self.train_step.shardings)(
      jax.random.key(self.config.seed), self.place(batch)
    )
    if not init_from or self.frozen is not None:
      return state
    params = adaptation.take_text_decoder(
      init_from, self.trainable.describe(), state.params, self.log
    )
    return jax.jit(create, out_shardings=self.train_step.shardings)(params)

  def _has_text_decoder(self, init_from: str | os.PathLike[str]) -> bool:
    return adaptation.is_text_decoder(init_from, self.trainable.describe())

  def _check_size(self, unit: str, batch: Mapping[str, Any]) -> None:
    """Raises ConfigError or MeshError where a batch cannot be divided."""
    size = next(iter(batch.values())).shape[0] * self.parts
    rules_lib.check_batch(size, self.mesh, self.rules)
    accumulate = self.optimizer_config.accumulate
    if size % accumulate:
      raise errors.ConfigError(
        f'OptimizerConfig.accumulate is {accumulate}: it must divide the '
        f'batch of {size} examples of unit {unit!r}'
      )
    rules_lib.check_batch(size // accumulate, self.mesh, self.rules)

  def _restore_data(self, state: Mapping[str, Any]) -> None:
    data = self.batches
    if not isinstance(data, batches_lib.Resumable):
      return
    own = batches_lib.sizes(data)
    data.restore(state)
    sizes = batches_lib.sizes(data)
    if sizes != own:
      self.log(
        'batches keep the sizes that the run began with: '
        f'{_listed(sizes)}; begun here they would be {_listed(own)}'
      )

  def _announce(self) -> None:
    size = sum(x.size for x in jax.tree.leaves(self.train_step.state.params))
    fixed = sum(x.size for x in jax.tree.leaves(self.train_step.frozen))
    beside = f' of adapters of {fixed / 1e6:.2f} M frozen ones' if fixed else ''
    units = self.batches.units()
    self.log(
      f'{self.trainable.name}: {size / 1e6:.2f} M parameters{beside} on '
      f'{mesh_lib.describe(self.mesh)}; {len(units)} unit(s) to compile, '
      f'{self.config.total_steps} steps'
    )

  def place(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Puts this host's rows of a batch on its devices."""
    return batches_lib.place(batch, self.batch_sharding)

  def _place_shape(self, array: Any) -> jax.ShapeDtypeStruct:
    """Shape of the global array that this host's part belongs to."""
    return jax.ShapeDtypeStruct(
      (array.shape[0] * self.parts, *array.shape[1:]),
      array.dtype,
      sharding=self.batch_sharding,
    )

  # Compile.

  def _compile(self, first: int) -> compiled_steps.CompiledSteps:
    steps = compiled_steps.first_steps(
      self.batches.unit_at, range(first, self.config.total_steps)
    )

    options = dict(self.config.compiler_options or {}) or None

    def compile_unit(unit: str) -> Any:
      # The context of the mesh belongs to a thread.
      with mesh_lib.use(self.mesh, self.rules):
        if unit == _UPDATE:
          return self.train_step.lower_update().compile(options)
        example = batches_lib.example(self.batches, unit, steps[unit])
        self._check_size(unit, example)
        batch = jax.tree.map(self._place_shape, dict(example))
        return self.train_step.lower_gradients(unit, batch).compile(options)

    return compiled_steps.CompiledSteps(
      (_UPDATE, *steps), compile_unit, in_background=self.config.compile_ahead
    )

  # Log, validate, save.

  def _log(
    self,
    throughput: throughput_lib.Throughput,
    hosts: hosts_lib.Hosts,
    writer: metrics_lib.Writer,
    done: int,
  ) -> dict[str, float]:
    # The optimizer has counted the steps that were not skipped: that is what
    # its schedule reads.
    last_is_skipped = throughput.last('skipped_in_a_row') > 0
    count = done - 1 - round(throughput.last('skipped_steps')) + last_is_skipped
    line, values = throughput.summary(done)
    self.watchdog.done(done, 1.0 / values['steps_per_second'])
    values |= self.goodput.shares() | hosts.metrics()
    values['learning_rate'] = float(
      optimizers.learning_rate(
        self.optimizer_config, self.config.total_steps, count
      )
    )
    self.log(line)
    writer.write(done, values)
    return values

  def _report(
    self, scores: dict[str, float], writer: metrics_lib.Writer, done: int
  ) -> dict[str, float]:
    if scores:
      self.log(f'step {done}: validation loss {scores["validation/loss"]:.4f}')
      writer.write(done, scores)
    return scores

  def _account(
    self, hosts: hosts_lib.Hosts, writer: metrics_lib.Writer, done: int
  ) -> dict[str, float]:
    """Says where the time of this call went."""
    seconds = self.goodput.seconds()['total']
    values = self.goodput.shares() | {
      'seconds': seconds,
      'redone_steps': writer.redone_steps,
    }
    line = f'{progress.duration(seconds)}: {goodput_lib.describe(values)}'
    if writer.redone_steps:
      line += f'; {writer.redone_steps} logged steps were done again'
    self.log(line)
    if hosts.summary():
      self.log(hosts.summary())
    writer.write(done, values)
    return values

  def _save(
    self, done: int, state: state_lib.TrainState, scores: Mapping[str, float]
  ) -> None:
    self.checkpoints.save(
      done,
      state_lib.to_items(state),
      {
        'step': done,
        'seed': self.config.seed,
        'batches': self.counts,
        # What lets the data refuse to go on with other data.
        'data': batches_lib.state(self.batches),
      },
      scores,
    )


def _settings(
  config: LoopConfig, optimizer: optimizers.OptimizerConfig
) -> dict[str, Any]:
  """By gin's name, the settings that decide which arrays a checkpoint holds."""
  names = (
    'name',
    'clip_norm',
    'weight_decay',
    'muon_excluded',
    'momentum',
  )
  settings = {
    f'OptimizerConfig.{name}': getattr(optimizer, name) for name in names
  }
  return settings | {'LoopConfig.ema_decay': config.ema_decay}


def _listed(sizes: Mapping[str, int]) -> str:
  return ', '.join(f'{size} of {unit}' for unit, size in sizes.items())


def _is_due(done: int, every: int, is_last: bool) -> bool:
  return bool(every) and (done % every == 0 or is_last)
