"""A run's state in T5X's layout and back, without T5X."""

import shutil

import chex
import jax
import pytest

from tests.training import tiny
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import opened
from videopoet_jax.checkpoints import t5x_convert
from videopoet_jax.checkpoints import t5x_steps
from videopoet_jax.core import errors
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config


def _train(run_dir, steps=8, ema=0.0):
  return loop.run(
    tiny.TinyTrainable(),
    tiny.TinyBatches(),
    run_dir,
    config=loop_config.LoopConfig(
      total_steps=steps, log_every=4, save_every=4, ema_decay=ema,
      tensorboard=False,
    ),
    log=lambda line: None,
  )  # fmt: skip


def _equal(first, second):
  chex.assert_trees_all_equal(first, second)


def test_there_and_back_a_run_resumes_as_it_was(tmp_path):
  whole = _train(tmp_path / 'whole')
  there, back = tmp_path / 'there', tmp_path / 'back'
  assert t5x_convert.convert(tmp_path / 'whole', there, step=4) == 4
  assert t5x_steps.complete_steps(there) == opened.saved_steps(there) == [4]
  # It is served as it is.
  _equal(
    export.load_params(there, 'tiny')[1],
    export.load_params(tmp_path / 'whole', 'tiny', step=4)[1],
  )
  assert t5x_convert.convert(there, back) == 4
  resumed = _train(back)
  assert resumed.steps == 8
  _equal(jax.device_get(resumed.state.params), jax.device_get(whole.params))
  _equal(
    jax.device_get(resumed.state.optimizer),
    jax.device_get(whole.state.optimizer),
  )


def test_averages_stay_behind_and_it_says_so(tmp_path):
  _train(tmp_path / 'run', ema=0.9)
  said = []
  t5x_convert.convert(tmp_path / 'run', tmp_path / 'there', log=said.append)
  assert 'averaged parameters' in said[0]
  held = export.load_params(tmp_path / 'there')[1]
  _equal(held, opened.read_arrays(tmp_path / 'run/steps/8/params'))


def test_what_stands_beside_the_steps_goes_along(tmp_path):
  _train(tmp_path / 'run')
  beside = tmp_path / 'run/text'
  beside.mkdir()
  shutil.copy(tmp_path / 'run/checkpoint.json', beside)
  t5x_convert.convert(tmp_path / 'run', tmp_path / 'there')
  assert (tmp_path / 'there/text/checkpoint.json').is_file()


def test_mistakes_are_one_line(tmp_path):
  with pytest.raises(errors.CheckpointError, match='is not a folder'):
    t5x_convert.convert(tmp_path / 'none', tmp_path / 'there')
  _train(tmp_path / 'run')
  with pytest.raises(errors.CheckpointError, match='no step 5; it has 4, 8'):
    t5x_convert.convert(tmp_path / 'run', tmp_path / 'there', step=5)
  t5x_convert.convert(tmp_path / 'run', tmp_path / 'there')
  with pytest.raises(errors.CheckpointError, match='holds steps of a run'):
    t5x_convert.convert(tmp_path / 'run', tmp_path / 'there')
  # A step that was cut short is none.
  (tmp_path / 'there/checkpoint_8/state/_METADATA').unlink()
  with pytest.raises(errors.CheckpointError, match='no finished step'):
    export.load_params(tmp_path / 'there')
