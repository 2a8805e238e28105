"""A watched run: the newest first, none twice, the best one kept."""

import json
import shutil

import pytest

from tests.evaluation import compare_test
from tests.inference import folder as folder_lib
from videopoet_jax.core import errors
from videopoet_jax.evaluation import checkpoint_choice
from videopoet_jax.evaluation import watch
from videopoet_jax.inference import generator as generator_lib

_QUICK = {'poll_seconds': 0.01}


def _save(run, step):
  """A step as far as a watcher can tell."""
  folder = run / 'steps' / str(step)
  (folder / 'params').mkdir(parents=True)
  (folder / 'params' / 'array').write_bytes(bytes(step))
  described = {'kind': 'prefix_lm', 'format_version': 1}
  (run / 'checkpoint.json').write_text(json.dumps(described))


def _watch(run, on_step, done=(), **config):
  seen, said = [], []

  def evaluate(checkpoint):
    seen.append(checkpoint.step)
    on_step(checkpoint.step)

  watch.watch(
    run,
    evaluate,
    lambda checkpoint: checkpoint.step in done,
    watch.WatchConfig(**_QUICK, **config),
    log=said.append,
  )
  return seen, said


def test_newest_first_and_none_twice(tmp_path):
  for step in (100, 200):
    _save(tmp_path, step)

  def train(step):
    if step == 200:  # Meanwhile the run went on.
      _save(tmp_path, 300)
      _save(tmp_path, 400)

  seen, said = _watch(tmp_path, train, until_step=400)
  assert seen == [200, 400, 300, 100]
  assert 'step 400 is evaluated' in said[-1]


def test_what_was_evaluated_before_is_left(tmp_path):
  for step in (100, 200):
    _save(tmp_path, step)
  seen, _ = _watch(tmp_path, lambda step: None, done=[200], until_step=200)
  assert seen == [100]


def test_half_saved_steps_are_not_looked_at(tmp_path):
  _save(tmp_path, 100)
  (tmp_path / 'steps' / '200.orbax-checkpoint-tmp-1').mkdir()
  seen, said = _watch(tmp_path, lambda step: None, idle_minutes=0.002)
  assert seen == [100] and 'nothing new' in said[-1]


def test_a_step_that_training_removes_is_left_out(tmp_path):
  _save(tmp_path, 100)

  def remove(step):
    shutil.rmtree(tmp_path / 'steps' / str(step))
    raise errors.CheckpointError('cannot read the arrays')

  seen, said = _watch(tmp_path, remove, idle_minutes=0.002)
  assert seen == [100] and 'was removed before' in said[0]


def test_a_step_that_is_there_and_broken_is_an_error(tmp_path):
  _save(tmp_path, 100)

  def fail(step):
    raise errors.CheckpointError('of another model')

  with pytest.raises(errors.CheckpointError, match='of another model'):
    _watch(tmp_path, fail, until_step=100)


def test_a_folder_that_is_not_there_yet(tmp_path):
  seen, _ = _watch(tmp_path / 'run', lambda step: None, idle_minutes=0.002)
  assert seen == []


def test_fingerprints_tell_checkpoints_apart(tmp_path):
  _save(tmp_path, 100)
  first = checkpoint_choice.find(tmp_path)
  assert first.step == 100 and first == checkpoint_choice.find(tmp_path)
  (tmp_path / 'steps/100/params/array').write_bytes(b'other')
  assert checkpoint_choice.find(tmp_path).key != first.key
  _save(tmp_path, 200)
  found = checkpoint_choice.find_all([tmp_path], all_steps=True)
  assert [one.step for one in found] == [100, 200]
  with pytest.raises(errors.CheckpointError, match='no step 300'):
    checkpoint_choice.find(tmp_path, 300)


def test_best_is_a_checkpoint_to_generate_from(tmp_path):
  model, out = tmp_path / 'lm', tmp_path / 'out'
  folder_lib.write(model)
  checkpoint = checkpoint_choice.find(model)

  def note(value, metric='right/*'):
    keeper = watch.BestKeeper(out, metric, lambda line: None)
    result = compare_test.result(value)
    return keeper.note(checkpoint, [result])

  out.mkdir()
  assert note(0.5) and not note(0.4)  # Known to a job started again, too.
  assert json.loads((out / 'best.json').read_text())['value'] == 0.5
  opened = generator_lib.Generator.load(out / 'best')
  assert opened.layout_names == folder_lib.LAYOUTS
  assert note(0.6)
  assert json.loads((out / 'best.json').read_text())['value'] == 0.6
  with pytest.raises(errors.ConfigError, match='is not a metric'):
    note(0.7, 'wrong/*')
