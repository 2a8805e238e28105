"""Half-written and damaged steps are named and skipped."""

import json
import shutil
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager
from videopoet_jax.core import errors

DESCRIPTION = {
  'kind': 'toy',
  'config': {'sizes': (1, 2)},
  'vocabulary': {'visual_size': 64},
  'layouts': ['a/1x8x8'],
}


def _tree(value):
  return {'layer': {'kernel': jnp.full((2, 3), value), 'bias': jnp.ones(3)}}


def _items(value):
  return {'params': _tree(value), 'ema': _tree(value + 0.5)}


def _target():
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
    _items(0.0),
  )


@pytest.fixture(scope='module', name='written')
def _written(tmp_path_factory):
  directory = tmp_path_factory.mktemp('run')
  checkpoints = manager.Manager(directory, DESCRIPTION, keep=3)
  for step in (1, 2, 3):
    checkpoints.save(step, _items(float(step)), {'step': step})
  checkpoints.close()
  return directory


@pytest.fixture(name='run')
def _run(written, tmp_path):
  return shutil.copytree(written, tmp_path / 'run')


def _restore(directory, said, description=DESCRIPTION):
  checkpoints = manager.Manager(directory, description, log=said.append)
  try:
    return checkpoints.restore(_target())
  finally:
    checkpoints.close()


def test_the_newest_step_is_restored(run):
  items, counters = _restore(run, [])
  assert counters == {'step': 3}
  np.testing.assert_array_equal(items['params']['layer']['kernel'], 3.0)
  np.testing.assert_array_equal(items['ema']['layer']['kernel'], 3.5)


def test_a_damaged_step_is_named_and_skipped(run):
  for path in (run / 'steps/3').rglob('*'):
    if path.is_file() and path.stat().st_size > 0 and 'd' in path.parts:
      path.write_bytes(path.read_bytes()[:10])
  shutil.rmtree(run / 'steps/2/params')
  said = []
  items, counters = _restore(run, said)
  assert counters == {'step': 1}
  np.testing.assert_array_equal(items['params']['layer']['kernel'], 1.0)
  assert 'steps/3' in said[0]
  assert 'damaged' in said[0]
  assert 'steps/2' in said[1]
  assert manager.complete_steps(run) == [1]
  # What could not be read is kept, as the storage may have been at fault.
  assert (run / 'damaged_steps/3/params').is_dir()
  assert (run / 'damaged_steps/2/ema').is_dir()
  # And is in nobody's way.
  checkpoints = manager.Manager(run, DESCRIPTION)
  checkpoints.save(2, _items(2.0), {'step': 2})
  checkpoints.save(3, _items(3.0), {'step': 3})
  checkpoints.close()
  assert _restore(run, [])[1] == {'step': 3}


def _files(folder, name):
  return [p for p in folder.rglob('*') if p.is_file() and name in p.parts]


def _zeroed(step):
  for path in _files(step, 'd'):
    path.write_bytes(bytes(path.stat().st_size))


def _truncated(step):
  for path in _files(step, 'd'):
    path.write_bytes(path.read_bytes()[:10])


_DAMAGES = {
  'array files zeroed': _zeroed,
  'array files truncated': _truncated,
  'array files missing': lambda step: [p.unlink() for p in _files(step, 'd')],
  'an item missing': lambda step: shutil.rmtree(step / 'ema'),
  'an item empty': lambda step: [p.unlink() for p in _files(step, 'ema')],
  'no manifest': lambda step: (step / 'params/manifest.ocdbt').unlink(),
  'metadata cut': lambda step: (step / 'params/_METADATA').write_text('{"tre'),
  'no counters': lambda step: shutil.rmtree(step / 'counters'),
  'counters cut': lambda step: (step / 'counters/metadata').write_text('{"s'),
  'counters empty': lambda step: (step / 'counters/metadata').write_text(''),
}


@pytest.mark.parametrize('kind', _DAMAGES)
def test_every_kind_of_damage_is_found(run, kind, monkeypatch):
  monkeypatch.setattr(manager, '_READING_PAUSES', ())
  _DAMAGES[kind](run / 'steps/3')
  said = []
  items, counters = _restore(run, said)
  assert counters == {'step': 2}
  np.testing.assert_array_equal(items['ema']['layer']['kernel'], 2.5)
  assert 'steps/3' in said[0] and 'damaged' in said[0]
  assert (run / 'damaged_steps/3').is_dir() and (run / 'steps/2').is_dir()


@pytest.mark.parametrize('name', ['_CHECKPOINT_METADATA', 'params/_METADATA'])
def test_a_step_that_can_be_read_without_its_metadata_is_taken(run, name):
  (run / 'steps/3' / name).unlink()
  assert _restore(run, [])[1] == {'step': 3}


def test_a_step_of_before_items_were_noted_is_restored(run):
  path = run / 'steps/3/counters/metadata'
  path.write_text(json.dumps({'step': 3}))
  assert _restore(run, [])[1] == {'step': 3}


_FULL = """
import resource, sys
import jax
from videopoet_jax.checkpoints import manager
from videopoet_jax.core import errors
checkpoints = manager.Manager(sys.argv[1], {'kind': 'toy'}, keep=1)
def save(step):
  key = jax.random.key(step)
  items = {'params': {'w': jax.random.normal(key, (256, 256))}}
  checkpoints.save(step, items, {'step': step})
try:
  save(1)
  checkpoints.wait()
  # No file may grow beyond this, as on a full disk.
  resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
  save(2)
  checkpoints.wait()
except errors.CheckpointError as error:
  print(error)
  try:
    checkpoints.close()
  except errors.CheckpointError:
    pass
  sys.exit(2)
"""


def test_a_disk_that_is_full_is_one_line_and_costs_no_step(tmp_path):
  found = subprocess.run(
    [sys.executable, '-c', _FULL, str(tmp_path / 'run')],
    capture_output=True,
    text=True,
    check=False,
  )
  assert found.returncode == 2, found.stderr
  line = found.stdout.strip().splitlines()[-1]
  assert str(tmp_path / 'run') in line and 'File too large' in line
  assert 'step 1 is whole' in line and 'Traceback' not in found.stderr
  assert manager.complete_steps(tmp_path / 'run') == [1]
  target = {
    'params': {
      'w': jax.ShapeDtypeStruct(
        (256, 256),
        jnp.float32,
        sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]),
      )
    }
  }
  # Once there is room, the run resumes and saves.
  checkpoints = manager.Manager(tmp_path / 'run', {'kind': 'toy'}, keep=1)
  items, counters = checkpoints.restore(target)
  assert counters == {'step': 1}
  checkpoints.save(2, items, {'step': 2})
  checkpoints.close()
  assert manager.complete_steps(tmp_path / 'run') == [2]


def test_steps_saved_after_going_back_are_kept(run):
  shutil.rmtree(run / 'steps/3/params')
  checkpoints = manager.Manager(run, DESCRIPTION, log=lambda _: None)
  checkpoints.restore(_target())
  checkpoints.save(3, _items(7.0), {'step': 3})
  checkpoints.close()
  items, counters = _restore(run, [])
  assert counters == {'step': 3}
  np.testing.assert_array_equal(items['params']['layer']['kernel'], 7.0)


def test_a_step_that_cannot_be_read_at_once_is_read_again(run, monkeypatch):
  read, failures = manager._read, [OSError('try again'), OSError('and again')]

  def reading(folder, target):
    if failures:
      raise failures.pop()
    return read(folder, target)

  monkeypatch.setattr(manager, '_read', reading)
  monkeypatch.setattr(manager, '_READING_PAUSES', (0.0, 0.0))
  said = []
  assert _restore(run, said)[1] == {'step': 3}
  assert not said and not failures


def test_a_half_written_step_is_no_step(run):
  unfinished = run / 'steps/4.orbax-checkpoint-tmp'
  shutil.move(run / 'steps/3', unfinished)
  assert manager.complete_steps(run) == [1, 2]
  assert manager.unfinished_steps(run) == [unfinished.name]
  said = []
  _, counters = _restore(run, said)
  assert counters == {'step': 2}
  assert unfinished.name in said[0]
  # Orbax removes it in a thread, which saving waits for.
  deadline = time.monotonic() + 60
  while unfinished.exists() and time.monotonic() < deadline:
    time.sleep(0.05)
  assert not unfinished.exists()


def test_nothing_readable_is_an_error_not_a_fresh_start(run):
  for step in (1, 2, 3):
    shutil.rmtree(run / f'steps/{step}/ema')
  with pytest.raises(errors.CheckpointError, match='tried 3, 2, 1'):
    _restore(run, [])


def test_a_fresh_folder_restores_nothing(tmp_path):
  said = []
  assert _restore(tmp_path / 'new', said) is None
  assert not said


def test_folders_of_others_are_refused(run, tmp_path):
  wrong = {**DESCRIPTION, 'vocabulary': {'visual_size': 128}}
  with pytest.raises(errors.CheckpointError, match='visual_size: 64 and 128'):
    _restore(run, [], wrong)
  wrong = {**DESCRIPTION, 'layouts': ['b/1x8x8']}
  with pytest.raises(errors.CheckpointError, match='layouts'):
    _restore(run, [], wrong)
  (run / 'checkpoint.json').unlink()
  with pytest.raises(errors.CheckpointError, match=r'no checkpoint\.json'):
    _restore(run, [])


def test_old_steps_go_but_for_those_kept_for_good(tmp_path):
  checkpoints = manager.Manager(tmp_path, DESCRIPTION, keep=1, keep_every=2)
  for step in (1, 2, 3, 4, 5):
    checkpoints.save(step, {'params': _tree(1.0)}, {})
  checkpoints.close()
  assert manager.complete_steps(tmp_path) == [2, 4, 5]


def test_load_params_takes_the_average(run):
  description, params = export.load_params(run, 'toy', DESCRIPTION)
  assert description['layouts'] == ['a/1x8x8']
  assert isinstance(params['layer']['kernel'], np.ndarray)
  np.testing.assert_array_equal(params['layer']['kernel'], 3.5)
  shutil.rmtree(run / 'steps/3/ema/d')
  np.testing.assert_array_equal(
    export.load_params(run)[1]['layer']['kernel'], 2.5
  )


def test_load_params_says_what_is_wrong(run, tmp_path):
  empty = tmp_path / 'empty'
  empty.mkdir()
  with pytest.raises(errors.CheckpointError, match='is empty'):
    export.load_params(empty)
  with pytest.raises(errors.CheckpointError, match='not a folder'):
    export.load_params(tmp_path / 'none')
  with pytest.raises(errors.CheckpointError, match="'toy'.*'prefix_lm'"):
    export.load_params(run, 'prefix_lm')
  with pytest.raises(errors.CheckpointError, match='layouts'):
    export.load_params(run, expected={'layouts': ['c/1x8x8']})
  for step in (1, 2):
    shutil.rmtree(run / f'steps/{step}')
  shutil.move(run / 'steps/3', run / 'steps/3.orbax-checkpoint-tmp')
  with pytest.raises(errors.CheckpointError, match='half written'):
    export.load_params(run)
  shutil.rmtree(run / 'steps')
  with pytest.raises(errors.CheckpointError, match='no finished step'):
    export.load_params(run)


def test_export_takes_what_stands_beside(run, tmp_path):
  beside = run / 'text'
  beside.mkdir()
  (beside / 'checkpoint.json').write_text(json.dumps({'kind': 'x'}))
  out = export.export_params(run, tmp_path / 'out')
  assert (out / 'text/checkpoint.json').exists()
  np.testing.assert_array_equal(
    export.load_params(out, 'toy')[1]['layer']['kernel'], 3.5
  )
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.CheckpointError, match='cannot write'):
    export.export_params(run, tmp_path / 'file/out')
