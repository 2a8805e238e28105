"""A run goes on with other devices, and its losses stay the same."""

import dataclasses
import os
import signal

import jax
import pytest

from tests.training import processes
from tests.training import tiny
from tests.training import tiny_run
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config

# Sums over devices are added in another order: relative, in float32.
_TOLERANCE = 1e-5
_CONFIG = loop_config.LoopConfig(
  total_steps=9, log_every=1, save_every=100, ema_decay=0.9, tensorboard=False
)


def _train(run_dir, mesh, devices, stop_at=0):
  """Trains until the end, or until a signal after `stop_at` steps."""

  def log(line):
    if line.startswith(f'step {stop_at}/'):
      os.kill(os.getpid(), signal.SIGTERM)

  return loop.run(
    tiny.TinyTrainable(width=16),
    tiny.TinyBatches(),
    run_dir,
    config=_CONFIG,
    optimizer=tiny_run.OPTIMIZER,
    mesh=mesh_lib.MeshConfig(**mesh),
    devices=jax.devices()[:devices],
    log=log,
  )


@pytest.mark.parametrize('name', ['adamw', 'adafactor'])
def test_eight_devices_then_one_then_four_by_two(tmp_path, monkeypatch, name):
  optimizer = dataclasses.replace(tiny_run.OPTIMIZER, name=name)
  monkeypatch.setattr(tiny_run, 'OPTIMIZER', optimizer)
  _train(tmp_path / 'whole', {}, 1)
  whole = processes.losses(tmp_path / 'whole')
  path = tmp_path / 'moving'
  first = _train(path, {'data': 2, 'fsdp': 4}, 8, stop_at=2)
  assert first.steps == 3
  assert _train(path, {}, 1, stop_at=5).steps == 6
  last = _train(path, {'data': 4, 'tensor': 2}, 8)
  assert last.steps == 9
  assert last.state.params['up'].sharding.mesh.shape['tensor'] == 2
  moved = processes.losses(path)
  assert sorted(moved) == list(range(1, 10))
  for step, loss in moved.items():
    assert loss == pytest.approx(whole[step], rel=_TOLERANCE), step
