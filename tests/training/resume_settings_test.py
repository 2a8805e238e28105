"""Resuming with other settings never takes a whole step for a damaged one."""

import dataclasses
import itertools

import pytest

from tests.training import tiny
from videopoet_jax.core import errors
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import optimizers

_LOOP = loop_config.LoopConfig(
  total_steps=2, log_every=2, save_every=2, tensorboard=False
)
_ADAMW = optimizers.OptimizerConfig()
_BASE = {'loop': _LOOP, 'optimizer': _ADAMW, 'width': 8}
# By gin's name of the setting, what is changed of a run.
_SETTINGS = {
  'as it is': {},
  'LoopConfig.ema_decay': {'loop': dataclasses.replace(_LOOP, ema_decay=0.9)},
  'OptimizerConfig.name muon': {
    'optimizer': optimizers.OptimizerConfig(name='muon')
  },
  'OptimizerConfig.name adafactor': {
    'optimizer': optimizers.OptimizerConfig(name='adafactor')
  },
  'OptimizerConfig.weight_decay': {
    'optimizer': optimizers.OptimizerConfig(weight_decay=0.1)
  },
  'OptimizerConfig.clip_norm': {
    'optimizer': optimizers.OptimizerConfig(clip_norm=0.0)
  },
  'OptimizerConfig.accumulate': {
    'optimizer': optimizers.OptimizerConfig(accumulate=2)
  },
  'width': {'width': 16},
}


def _run(run_dir, name, said):
  chosen = _BASE | _SETTINGS[name]
  return loop.run(
    tiny.TinyTrainable(width=chosen['width']),
    tiny.TinyBatches(size=16),
    run_dir,
    config=chosen['loop'],
    optimizer=chosen['optimizer'],
    log=said.append,
  )


@pytest.fixture(scope='module', name='runs')
def _runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs')
  for number, name in enumerate(_SETTINGS):
    _run(folder / str(number), name, [])
  return {name: folder / str(n) for n, name in enumerate(_SETTINGS)}


def _listing(folder):
  return {
    path.relative_to(folder): path.stat().st_mtime_ns
    for path in (folder / 'steps').rglob('*')
    if path.is_file()
  }


@pytest.mark.parametrize(
  'before, now', list(itertools.permutations(_SETTINGS, 2))
)
def test_a_step_of_other_settings_is_left_alone(runs, before, now):
  run_dir, said = runs[before], []
  listing = _listing(run_dir)
  try:
    result = _run(run_dir, now, said)
    assert result.steps == 2
    assert (result.state.ema is not None) == (now == 'LoopConfig.ema_decay')
  except errors.CheckpointError as error:
    message = str(error)
    assert '\n' not in message
    settings = {before.split(' ')[0], now.split(' ')[0]} - {'as', 'as it is'}
    assert any(setting in message for setting in settings)
    assert before != 'LoopConfig.ema_decay' or now != 'as it is'
    said.append(message)
  assert not any('damaged' in line for line in said)
  assert _listing(run_dir) == listing
  assert not (run_dir / 'damaged_steps').exists()
  ema = 'LoopConfig.ema_decay'
  if ema in (before, now) and 'as it is' in (before, now):
    assert any(ema in line for line in said)


@pytest.mark.parametrize('first, second', [(0.0, 0.9), (0.9, 0.0)])
def test_training_continues_when_the_average_is_switched(
  tmp_path, first, second
):
  for steps, decay in ((2, first), (4, second)):
    result = loop.run(
      tiny.TinyTrainable(),
      tiny.TinyBatches(),
      tmp_path,
      config=dataclasses.replace(_LOOP, total_steps=steps, ema_decay=decay),
      log=lambda line: None,
    )
  assert result.steps == 4
  assert (result.state.ema is not None) == bool(second)
