"""Runs are equal bit for bit, whatever interrupts them."""

import dataclasses
import json
import os
import pathlib
import signal
import threading

import chex
import jax
import numpy as np
import pytest

from tests.training import tiny
from videopoet_jax.checkpoints import export
from videopoet_jax.core import errors
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import metrics
from videopoet_jax.training import optimizers
from videopoet_jax.training import schedules

CONFIG = loop_config.LoopConfig(
  total_steps=6,
  log_every=2,
  save_every=2,
  ema_decay=0.9,
  tensorboard=False,
)
ADAM = optimizers.OptimizerConfig(
  learning_rate=0.05,
  schedule=schedules.ScheduleConfig(warmup_steps=2),
  weight_decay=0.01,
)


def _run(directory, config=CONFIG, batches=None, **options):
  options = {'optimizer': ADAM, 'log': lambda line: None} | options
  if 'mesh' not in options:
    options['devices'] = jax.devices()[:1]
  trainable = options.pop('trainable', tiny.TinyTrainable())
  return loop.run(
    trainable,
    batches or tiny.TinyBatches(),
    directory,
    config=config,
    **options,
  )


def _equal(a, b):
  chex.assert_trees_all_equal(a, b)


@pytest.fixture(scope='module', name='finished')
def _finished(tmp_path_factory):
  directory = tmp_path_factory.mktemp('finished')
  return directory, _run(directory)


def test_two_uninterrupted_runs_are_equal(tmp_path, finished):
  second = _run(tmp_path)
  _equal(finished[1].state, second.state)
  assert second.steps == 6


class _StopAt:
  """Sends a signal to this process when a step's batch is asked for."""

  def __init__(self, step, number):
    self._step, self._number = step, number
    self._batches = tiny.TinyBatches()

  def __getattr__(self, name):
    return getattr(self._batches, name)

  def unit_at(self, step):
    if (
      step == self._step
      and threading.current_thread() is threading.main_thread()
      and self._number
      and self._armed()
    ):
      os.kill(os.getpid(), self._number)
    return self._batches.unit_at(step)

  def _armed(self):
    # The loop asks about all units first, to compile; then step by step.
    self._asked = getattr(self, '_asked', 0) + 1
    return self._asked == 2


def test_a_signal_saves_within_a_step_and_the_resumed_run_is_equal(
  tmp_path, finished
):
  before = signal.getsignal(signal.SIGTERM)
  said = []
  part = _run(
    tmp_path / 'part',
    batches=_StopAt(2, signal.SIGTERM),
    log=said.append,
  )
  assert part.signal == signal.SIGTERM
  assert part.steps == 3
  assert 'saved step 3' in said[-1]
  assert signal.getsignal(signal.SIGTERM) is before
  resumed = _run(tmp_path / 'part', log=said.append)
  assert any('resuming' in line and 'step 3' in line for line in said)
  assert resumed.steps == 6
  _equal(finished[1].state, resumed.state)
  records = metrics.read(tmp_path / 'part/metrics.jsonl')
  assert [r['step'] for r in records if 'loss' in r] == [2, 3, 4, 6]


def test_finished_run_is_left_alone(finished):
  said = []
  again = _run(finished[0], log=said.append)
  _equal(finished[1].state, again.state)
  assert 'done already' in said[-1]


@pytest.mark.parametrize(
  ('name', 'sizes'),
  [
    ('adamw', {'data': 2, 'fsdp': 2, 'tensor': 2}),
    ('muon', {'data': 4, 'fsdp': 2}),
    ('adafactor', {'fsdp': 8, 'data': 1}),
  ],
)
def test_a_mesh_changes_nothing_but_rounding(tmp_path, name, sizes):
  optimizer = dataclasses.replace(ADAM, name=name)
  small = dataclasses.replace(CONFIG, total_steps=2)
  one = _run(tmp_path / 'one', small, optimizer=optimizer)
  many = _run(
    tmp_path / 'many',
    small,
    optimizer=optimizer,
    mesh=mesh_lib.MeshConfig(**sizes),
  )
  chex.assert_trees_all_close(one.params, many.params, atol=2e-5)
  up = many.state.params['up']
  assert up.sharding.num_devices == 8
  assert not up.sharding.is_fully_replicated
  # Moments lie where their parameter does.
  if name == 'adamw':
    moments = [
      leaf
      for path, leaf in jax.tree_util.tree_leaves_with_path(
        many.state.optimizer
      )
      if 'up' in jax.tree_util.keystr(path)
    ]
    assert {m.sharding for m in moments} == {up.sharding}


def test_resumes_on_another_mesh(tmp_path):
  _run(tmp_path, batches=_StopAt(2, signal.SIGTERM))
  resumed = _run(tmp_path, mesh=mesh_lib.MeshConfig(data=2, fsdp=4))
  assert resumed.steps == 6
  assert resumed.state.params['down'].sharding.mesh.shape['fsdp'] == 4


def test_accumulation_is_the_same_update(tmp_path):
  short = dataclasses.replace(CONFIG, total_steps=2)
  quiet = tiny.TinyTrainable(noise=0.0)
  one = _run(tmp_path / 'one', short, trainable=quiet)
  parts = _run(
    tmp_path / 'parts',
    short,
    trainable=quiet,
    optimizer=dataclasses.replace(ADAM, accumulate=4),
  )
  chex.assert_trees_all_close(one.params, parts.params, atol=1e-5)
  with pytest.raises(errors.ConfigError, match='must divide'):
    _run(tmp_path / 'bad', optimizer=dataclasses.replace(ADAM, accumulate=3))


class _Growing(tiny.TinyBatches):
  """Units of different sizes, chosen by the batches themselves."""

  multiple = 8

  def divide(self, parts):
    object.__setattr__(self, 'multiple', self.multiple * parts)

  def batch(self, step):
    rows = self.multiple * (1 + step % 2)
    return tiny.TinyBatches(size=rows).batch(step)


def test_batches_of_several_units_are_made_to_divide(tmp_path):
  short = dataclasses.replace(CONFIG, total_steps=2)
  quiet = tiny.TinyTrainable(noise=0.0)
  found = _run(
    tmp_path / 'parts',
    short,
    trainable=quiet,
    batches=_Growing(),
    optimizer=dataclasses.replace(ADAM, accumulate=3),
  )
  assert found.steps == 2

  class Fixed(tiny.TinyBatches):
    """The second unit does not divide, and is met after the first step."""

    def batch(self, step):
      return tiny.TinyBatches(size=24 + 8 * (step % 2)).batch(step)

  with pytest.raises(errors.ConfigError, match="32 examples of unit 'b/large'"):
    _run(
      tmp_path / 'fixed',
      short,
      batches=Fixed(),
      optimizer=dataclasses.replace(ADAM, accumulate=3),
    )


def test_steps_that_are_not_finite_change_nothing(tmp_path):
  result = _run(tmp_path / 'a', batches=tiny.TinyBatches(bad=(2, 3)))
  assert int(result.state.skipped) == 2
  assert np.isfinite(result.metrics['loss'])
  assert result.metrics['skipped_steps'] == 2.0
  before = dataclasses.replace(CONFIG, total_steps=6, max_skipped_in_a_row=3)
  with pytest.raises(FloatingPointError, match='3 steps in a row'):
    _run(tmp_path / 'b', before, batches=tiny.TinyBatches(bad=(3, 4, 5)))
  dump = np.load(tmp_path / 'b/not_finite_6.npz')
  assert dump['unit'] == 'b/large'
  assert np.isnan(dump['inputs']).any()


def test_validation_by_unit_and_metrics(tmp_path):
  pytest.importorskip('tensorboard')
  config = dataclasses.replace(CONFIG, validate_every=4, tensorboard=True)
  result = _run(tmp_path, config, validation=tiny.TinyValidation())
  values = result.metrics
  both = (values['validation/loss/a'], values['validation/loss/b'])
  assert values['validation/loss'] == pytest.approx(np.mean(both))
  assert both[1] > both[0]
  records = metrics.read(tmp_path / 'metrics.jsonl')
  assert [r['step'] for r in records if 'validation/loss' in r] == [4, 6]
  assert {'loss', 'learning_rate', 'steps_per_second'} <= set(records[0])
  assert list((tmp_path / 'tensorboard').glob('events*'))


def test_adaptation_starts_from_other_parameters(tmp_path, finished):
  frozen = dataclasses.replace(ADAM, learning_rate=0.0)
  second = _run(tmp_path / 'second', optimizer=frozen, init_from=finished[0])
  _equal(finished[1].params, second.state.params)
  assert second.steps == 6
  with pytest.raises(errors.CheckpointError, match='other model.*up'):
    _run(
      tmp_path / 'third',
      trainable=tiny.TinyTrainable(width=16),
      init_from=finished[0],
    )


def test_a_run_of_another_model_or_kind_is_refused(finished):
  tmp_path = finished[0]
  with pytest.raises(errors.CheckpointError, match='width: 8 and 16'):
    _run(tmp_path, trainable=tiny.TinyTrainable(width=16))
  with pytest.raises(errors.CheckpointError, match="'tiny'; a 'other'"):
    _run(tmp_path, trainable=tiny.TinyTrainable(name='other'))
  with pytest.raises(errors.CheckpointError, match='optimizer'):
    _run(
      tmp_path,
      dataclasses.replace(CONFIG, total_steps=8),
      optimizer=dataclasses.replace(ADAM, name='adafactor'),
    )


def test_a_folder_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.CheckpointError, match='cannot write'):
    _run(tmp_path / 'file' / 'run')


def test_a_mesh_that_does_not_divide_the_batch(tmp_path):
  with pytest.raises(errors.MeshError, match='multiple of 8'):
    _run(tmp_path, batches=tiny.TinyBatches(size=6), mesh=mesh_lib.MeshConfig())


class _Reader(tiny.TinyBatches):
  """Batches that can be read in parts, and remember which was asked for."""

  asked: tuple[tuple[int, int], ...] = ()

  def read_part(self, index, count):
    _Reader.asked += ((index, count),)


def test_hosts_that_hold_the_same_rows_read_the_same_part(
  tmp_path, monkeypatch
):
  # One host that holds half of a batch: two would.
  monkeypatch.setattr(rules, 'part_of_batch', lambda mesh, rules: (1, 2))
  with pytest.raises(errors.MeshError, match='TinyBatches has no .*read_part'):
    _run(tmp_path / 'refused')
  assert not list((tmp_path / 'refused').glob('steps/*'))
  monkeypatch.undo()
  _run(tmp_path / 'read', batches=_Reader())
  assert _Reader.asked == ((0, 1),)


def test_checkpoint_holds_its_counters_and_loads_for_inference(
  tmp_path, finished
):
  directory, result = finished
  step = directory / 'steps/6'
  counters = json.loads((step / 'counters/metadata').read_text())
  assert counters['batches'] == {'a/small': 3, 'b/large': 3}
  description, params = export.load_params(directory, 'tiny')
  assert description['config'] == {'width': 8}
  _equal(params, result.state.ema)
  copied = export.export_params(directory, tmp_path / 'out')
  _equal(export.load_params(copied)[1], params)
  assert pathlib.Path(copied / 'params').is_dir()
