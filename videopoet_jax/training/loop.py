"""The one training loop, for every trainable.

Restore or begin; then for each step: its unit, its batch, the unit's compiled
step. Everything random is a function of (seed, step), so a resumed run equals
an uninterrupted one bit for bit.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import os
import time
from typing import Any

import jax

from videopoet_jax.checkpoints import best as best_lib
from videopoet_jax.checkpoints import manager as manager_lib
from videopoet_jax.core import progress
from videopoet_jax.core import storage
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.training import batches as batches_lib
from videopoet_jax.training import compiled_steps
from videopoet_jax.training import goodput as goodput_lib
from videopoet_jax.training import hosts as hosts_lib
from videopoet_jax.training import loop_config
from videopoet_jax.training import low_rank
from videopoet_jax.training import metrics as metrics_lib
from videopoet_jax.training import optimizers
from videopoet_jax.training import prefetch
from videopoet_jax.training import setup as setup_lib
from videopoet_jax.training import signals
from videopoet_jax.training import skipped as skipped_lib
from videopoet_jax.training import starting
from videopoet_jax.training import state as state_lib
from videopoet_jax.training import throughput as throughput_lib
from videopoet_jax.training import trainable as trainable_lib
from videopoet_jax.training import validation as validation_lib
from videopoet_jax.training import watchdog as watchdog_lib

# Name, among the units' programs, of the one that all units share.
_UPDATE = '<update>'
# Metrics that do not measure what was learned.
_OF_SPEED = (
  'seconds', 'redone_steps', 'steps_per_second', 'examples_per_second',
  'tokens_per_second', 'skipped_steps', 'gradient_norm', 'learning_rate',
)  # fmt: skip
# Steps after which it is known whether one was skipped: reading it at once
# would let the devices wait for the host.
_LATE = 4
_CONFIG = loop_config.LoopConfig()
_ADAMW = optimizers.OptimizerConfig()
_ALL_DEVICES = mesh_lib.MeshConfig()
_WATCHDOG = watchdog_lib.WatchdogConfig()


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
    """Steps, time and losses; not the arrays."""
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
  config: loop_config.LoopConfig = _CONFIG,
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
    State and metrics of the last step done.

  Raises:
    UserError: mesh, folder or checkpoint do not fit.
    FloatingPointError: too many steps in a row were not finite; the folder
      holds what the last one was given.
  """
  began = time.monotonic()
  run_dir = storage.path(run_dir)
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
      watchdog, goodput, run_dir, log_every=config.log_every,
      log=log_all_hosts,
    )  # fmt: skip
    try:
      with goodput.spend('start'):
        parts = batches_lib.share(
          batches, validation, device_mesh, rules, optimizer.accumulate
        )
        setup = setup_lib.Setup(
          trainable=trainable,
          batches=batches,
          validation=validation,
          config=config,
          optimizer=optimizer,
          mesh=device_mesh,
          rules=rules,
          run_dir=run_dir,
          checkpoints=checkpoints,
          log=log,
          parts=parts,
        )
        started = starting.start(setup, init_from)
      steps = _Steps(setup, started, stop, goodput, watch)
      state, values = steps.run()
    finally:
      checkpoints.close()
      watch.close()
  return Result(
    state, values, int(state.step), time.monotonic() - began, stop.signal
  )


class _Steps:
  """The steps of one call of `run`."""

  def __init__(
    self,
    setup: setup_lib.Setup,
    started: starting.Start,
    stop: signals.Stop,
    goodput: goodput_lib.Goodput,
    watchdog: watchdog_lib.Watchdog,
  ) -> None:
    self._setup = setup
    self._start = started
    self._counts = dict(started.counts)
    self._stop = stop
    self._goodput = goodput
    self._watchdog = watchdog

  def run(self) -> tuple[state_lib.TrainState, dict[str, float]]:
    """Trains to the last step, or to a signal."""
    setup, config, goodput = self._setup, self._setup.config, self._goodput
    state, frozen = self._start.state, self._start.frozen
    first = int(state.step)
    if first >= config.total_steps:
      setup.log(f'{setup.run_dir}: all {first} steps are done already')
      return state, {}

    train_programs = self._compile(first)
    validate = validation_lib.Validation(
      setup.trainable, setup.validation, setup.place,
      seed=config.seed, compiler_options=config.compiler_options,
    )  # fmt: skip
    writer = metrics_lib.Writer(
      setup.run_dir,
      first_step=first,
      tensorboard=config.tensorboard,
      enabled=jax.process_index() == 0,
    )
    feed = prefetch.Prefetch(setup.batches, config.total_steps)
    throughput = throughput_lib.Throughput(
      first, config.total_steps, setup.parts
    )
    hosts = hosts_lib.Hosts(setup.mesh.local_devices)
    skipped = skipped_lib.Skipped(config.max_skipped_in_a_row, setup.run_dir)
    values: dict[str, float] = {}
    try:
      for step in range(first, config.total_steps):
        unit = setup.batches.unit_at(step)
        self._watchdog.at(step, unit)
        with goodput.spend('data'):
          host_batch = feed.batch(step)
        waited = goodput.last
        with goodput.spend('compile'):
          program = train_programs.get(unit)
          update = train_programs.get(_UPDATE)
        throughput.leave_out(goodput.last)
        asked = time.monotonic()
        batch = setup.place(host_batch)
        hosts.add(waited, time.monotonic() - asked)
        skipped.check(step - _LATE)
        grads, metrics = program(state.params, batch, state.step, frozen)
        loss = {'loss': metrics['loss']}
        state, more = update(state, grads, loss)
        metrics = metrics | more
        self._counts[unit] = self._counts.get(unit, 0) + 1
        throughput.add(unit, metrics, host_batch)
        skipped.add(step, unit, metrics, host_batch)

        done = step + 1
        is_last = done == config.total_steps
        stopping = self._stop.wanted(done)
        scores: dict[str, float] = {}
        if done % config.log_every == 0 or is_last or stopping:
          values |= self._log(throughput, hosts, writer, done)
          skipped.check(step)
        # A machine that is about to go leaves no time to score.
        due = _is_due(done, config.validate_every, is_last)
        if due and (is_last or not stopping):
          jax.block_until_ready(state.step)  # Steps are no validation.
          with goodput.spend('validation'):
            scores = validate(state_lib.inference_params(state), frozen)
          values |= self._report(scores, writer, done)
          throughput.leave_out(goodput.last)
        best = setup.checkpoints.is_best(scores)
        if done % config.save_every == 0 or is_last or stopping or best:
          jax.block_until_ready(state.step)
          with goodput.spend('checkpoint'):
            self._save(done, state, scores)
            if is_last or stopping:
              setup.checkpoints.wait()
        if is_last or stopping:
          values |= self._account(hosts, writer, done)
        if stopping:
          setup.log(f'signal {self._stop.signal}: saved step {done}, stopping')
          break
    finally:
      feed.close()
      train_programs.close()
      writer.close()
    return state, values

  # Compile.

  def _compile(self, first: int) -> compiled_steps.CompiledSteps:
    setup = self._setup
    steps = compiled_steps.first_steps(
      setup.batches.unit_at, range(first, setup.config.total_steps)
    )

    options = dict(setup.config.compiler_options or {}) or None

    def compile_unit(unit: str) -> Any:
      # The context of the mesh belongs to a thread.
      with mesh_lib.use(setup.mesh, setup.rules):
        if unit == _UPDATE:
          return self._start.train_step.lower_update().compile(options)
        example = batches_lib.example(setup.batches, unit, steps[unit])
        setup.check_size(unit, example)
        batch = jax.tree.map(setup.place_shape, dict(example))
        return self._start.train_step.lower_gradients(unit, batch).compile(
          options
        )

    return compiled_steps.CompiledSteps(
      (_UPDATE, *steps), compile_unit, in_background=setup.config.compile_ahead
    )

  # Log, validate, save.

  def _log(
    self,
    throughput: throughput_lib.Throughput,
    hosts: hosts_lib.Hosts,
    writer: metrics_lib.Writer,
    done: int,
  ) -> dict[str, float]:
    setup = self._setup
    # The optimizer has counted the steps that were not skipped: that is what
    # its schedule reads.
    last_is_skipped = throughput.last('skipped_in_a_row') > 0
    count = done - 1 - round(throughput.last('skipped_steps')) + last_is_skipped
    line, values = throughput.summary(done)
    self._watchdog.done(done, 1.0 / values['steps_per_second'])
    values |= self._goodput.shares() | hosts.metrics()
    values['learning_rate'] = float(
      optimizers.learning_rate(setup.optimizer, setup.config.total_steps, count)
    )
    setup.log(line)
    writer.write(done, values)
    return values

  def _report(
    self, scores: dict[str, float], writer: metrics_lib.Writer, done: int
  ) -> dict[str, float]:
    setup = self._setup
    if scores:
      setup.log(f'step {done}: validation loss {scores["validation/loss"]:.4f}')
      writer.write(done, scores)
    return scores

  def _account(
    self, hosts: hosts_lib.Hosts, writer: metrics_lib.Writer, done: int
  ) -> dict[str, float]:
    """Reports where the time of this call went."""
    setup = self._setup
    seconds = self._goodput.seconds()['total']
    values = self._goodput.shares() | {
      'seconds': seconds,
      'redone_steps': writer.redone_steps,
    }
    line = f'{progress.duration(seconds)}: {goodput_lib.describe(values)}'
    if writer.redone_steps:
      line += f'; {writer.redone_steps} logged steps were done again'
    setup.log(line)
    if hosts.summary():
      setup.log(hosts.summary())
    writer.write(done, values)
    return values

  def _save(
    self, done: int, state: state_lib.TrainState, scores: Mapping[str, float]
  ) -> None:
    setup = self._setup
    setup.checkpoints.save(
      done,
      state_lib.to_items(state),
      {
        'step': done,
        'seed': setup.config.seed,
        'batches': self._counts,
        # What lets the data refuse to go on with other data.
        'data': batches_lib.state(setup.batches),
      },
      scores,
    )


def _settings(
  config: loop_config.LoopConfig, optimizer: optimizers.OptimizerConfig
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


def _is_due(done: int, every: int, is_last: bool) -> bool:
  return bool(every) and (done % every == 0 or is_last)
