"""Several processes of one machine train as one."""

import os
import re
import signal

import chex
import pytest

from tests.preparation import token_set
from tests.training import processes
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager

# Sums over devices are added in another order: relative, in doubles.
_TOLERANCE = 1e-8
_OPTIONS = {'float64': True, 'width': 64, 'total_steps': 12, 'save_every': 3}
_SHARDED = {'data': 1, 'fsdp': -1}


def _check_equal(found, whole, tolerance=_TOLERANCE):
  assert found
  for step, loss in found.items():
    assert loss == pytest.approx(whole[step], rel=tolerance), step


def _stop_one(process, index, printed, number=signal.SIGKILL):
  """Sends a signal to one of the processes, by the number that it printed."""
  found = re.search(rf'\[{index}\] pid (\d+)', printed)
  assert found, printed
  os.kill(int(found[1]), number)


@pytest.fixture(scope='module', name='whole')
def _whole(tmp_path_factory):
  """One process on one device: the losses to be met."""
  folder = tmp_path_factory.mktemp('whole') / 'run'
  processes.finish(processes.tiny(folder, **_OPTIONS))
  return processes.losses(folder)


def test_two_processes_are_as_one_and_one_killed_goes_on(tmp_path, whole):
  run_dir = tmp_path / 'run'
  # Slow enough that it is not over when it is killed.
  process = processes.tiny(run_dir, 2, mesh=_SHARDED, pause=0.6, **_OPTIONS)
  printed = processes.read_until(process, r'step 7/')
  _stop_one(process, 1, printed)
  process.communicate(timeout=600)
  assert process.returncode != 0
  _check_equal(processes.losses(run_dir), whole)
  # Each process has written its own half.
  last = manager.complete_steps(run_dir)[-1]
  step = run_dir / f'steps/{last}/params'
  assert {p.name for p in step.glob('ocdbt.process_*')} >= {
    'ocdbt.process_0', 'ocdbt.process_1',
  }  # fmt: skip
  # The rest of it on one process.
  printed = processes.finish(processes.tiny(run_dir, **_OPTIONS))
  assert re.search(rf'resuming .* after step {last}\b', printed), printed
  assert len(processes.losses(run_dir)) == _OPTIONS['total_steps']
  _check_equal(processes.losses(run_dir), whole)


@pytest.mark.multi_process
@pytest.mark.parametrize(
  ('count', 'devices', 'mesh'),
  [
    (2, 1, {}),
    (2, 2, {'data': 2, 'fsdp': 2}),
    (4, 1, _SHARDED),
    (4, 2, {'data': 4, 'tensor': 2}),
    # Hosts that read the same rows.
    (2, 1, {'data': 1, 'tensor': 2}),
    (4, 1, {'data': 1, 'fsdp': 2, 'tensor': 2}),
    (2, 2, {'data': 1, 'fsdp': 1, 'sequence': 2, 'tensor': 2}),
  ],
)
def test_processes_equal_one(tmp_path, whole, count, devices, mesh):
  run_dir = tmp_path / 'run'
  printed = processes.finish(
    processes.tiny(run_dir, count, devices, mesh=mesh, **_OPTIONS)
  )
  assert f'{count} hosts: the slowest is host' in printed
  found = processes.losses(run_dir)
  assert len(found) == _OPTIONS['total_steps']
  _check_equal(found, whole)
  assert not manager.unfinished_steps(run_dir)
  worst = max(abs(found[s] / whole[s] - 1) for s in whole)
  print(f'\n{count} processes x {devices}, mesh {mesh}: within {worst:.1e}')


@pytest.mark.multi_process
def test_four_processes_then_two_then_one(tmp_path, whole):
  run_dir = tmp_path / 'run'
  for count in (4, 2):
    # Hosts agree on the step to stop at, which steps of no time run past.
    process = processes.tiny(
      run_dir, count, mesh=_SHARDED, pause=0.6, **_OPTIONS
    )
    printed = processes.read_until(process, r'step \d+/')
    _stop_one(process, count - 1, printed, signal.SIGTERM)
    rest, _ = process.communicate(timeout=600)
    assert re.search(r'saved step \d+, stopping', rest), rest
  processes.finish(processes.tiny(run_dir, **_OPTIONS))
  found = processes.losses(run_dir)
  assert len(found) == _OPTIONS['total_steps']
  _check_equal(found, whole)


@pytest.mark.multi_process
def test_many_saves_beside_steps(tmp_path):
  """Every step is saved while the next ones are made: nothing gets lost."""
  options = {'total_steps': 60, 'save_every': 1, 'width': 256}
  for number in range(3):
    run_dir = tmp_path / str(number)
    processes.finish(processes.tiny(run_dir, 2, mesh=_SHARDED, **options))
    assert manager.complete_steps(run_dir) == [59, 60]


@pytest.mark.multi_process
@pytest.mark.parametrize('mesh', [{}, {'data': 1, 'tensor': 2}])
def test_the_language_model_on_two_processes(tmp_path, mesh):
  tokens = token_set.write(tmp_path / 'tokens')
  flags = token_set.train_flags(tokens, steps=12)

  def train(name, count, devices):
    mesh_flags = [f'--gin.MeshConfig.{axis}={n}' for axis, n in mesh.items()]
    run_dir = tmp_path / name
    command = ['videopoet_jax.jobs.train', *flags, *mesh_flags]
    command += ['--run_dir', str(run_dir)]
    return run_dir, processes.start(command, processes=count, devices=devices)

  run_dir, process = train('one', 0, 2)
  processes.finish(process)
  whole = processes.losses(run_dir)
  run_dir, process = train('two', 2, 1)
  processes.read_until(process, r'step 10/12')
  processes.kill(process)
  run_dir, process = train('two', 2, 1)
  printed = processes.finish(process)
  assert re.search(r'\[0\] resuming .* after step [2468]', printed), printed
  found = processes.losses(run_dir)
  assert set(found) == set(whole)
  _check_equal(found, whole, tolerance=1e-4)
  # What several processes wrote is read by one.
  one = export.load_params(tmp_path / 'one')[1]
  two = export.load_params(run_dir)[1]
  chex.assert_trees_all_close(one, two, atol=1e-3)
