"""T5X trains this project's model as this project's own loop does."""

import logging
import shutil

import flax.core
import jax
import numpy as np
import pytest

pytest.importorskip('t5x.trainer', reason='needs T5X (docs/t5x.md)')

from tests.models import t5x_files
from tests.preparation import token_set as token_set_lib
from tests.t5x import runs
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import opened
from videopoet_jax.checkpoints import t5x_convert
from videopoet_jax.core import errors
from videopoet_jax.t5x import checkpoints
from videopoet_jax.t5x import experiment
from videopoet_jax.t5x import initial
from videopoet_jax.training import metrics

# T5X uses much that its libraries have deprecated.
pytestmark = pytest.mark.filterwarnings('default')

_STEPS = 50


@pytest.fixture(scope='module', name='token_set')
def _token_set(tmp_path_factory):
  return token_set_lib.write(tmp_path_factory.mktemp('data') / 'tokens')


def test_losses_are_those_of_our_own_loop(token_set, tmp_path):
  settings = {'STEPS': _STEPS, 'LoopConfig.save_every': _STEPS}
  runs.train_ours(token_set, tmp_path / 'ours', **settings)
  runs.train_t5x(token_set, tmp_path / 'theirs', **settings)
  records = metrics.read(tmp_path / 'ours/metrics.jsonl')
  ours = {r['step']: r['loss'] for r in records if 'loss' in r}
  theirs = runs.logged(tmp_path / 'theirs/train', 'loss')
  assert sorted(theirs) == list(range(1, _STEPS + 1))
  np.testing.assert_allclose(
    [theirs[step] for step in theirs],
    [ours[step] for step in theirs],
    atol=1e-5,
    rtol=0,
  )
  # Sound is among what was trained, and something was learned.
  heard = runs.logged(tmp_path / 'theirs/train', 'loss/audio')
  assert 5 < np.isfinite(list(heard.values())).sum() < _STEPS
  assert theirs[_STEPS] < theirs[1]
  left = export.load_params(tmp_path / 'ours', 'prefix_lm')[1]
  right = export.load_params(tmp_path / 'theirs', 'prefix_lm')[1]
  for one, other in zip(*map(jax.tree.leaves, (left, right)), strict=True):
    np.testing.assert_allclose(one, other, atol=5e-3)


def test_five_and_five_steps_are_ten(token_set, tmp_path, caplog):
  length = {'ScheduleConfig.warmup_steps': 1, 'LoopConfig.save_every': 5}
  whole = runs.train_t5x(token_set, tmp_path / 'whole', STEPS=10, **length)
  assert whole[0] == 10
  # Cut off behind the checkpoint at 5, as by a lost machine.
  cut = tmp_path / 'cut'
  runs.train_t5x(token_set, cut, STEPS=10, **length)
  shutil.rmtree(cut / 'checkpoint_10')
  with caplog.at_level(logging.INFO, 'absl'):
    resumed = runs.train_t5x(token_set, cut, STEPS=10, **length)
  assert 'Starting main loop over steps 5-10' in caplog.text
  runs.assert_equal(
    flax.core.unfreeze(whole[1].state_dict()),
    flax.core.unfreeze(resumed[1].state_dict()),
  )


@pytest.mark.parametrize(
  'sizes', [{'fsdp': 4}, {'data': 1, 'fsdp': 2, 'tensor': 2}]
)
def test_split_parameters_change_nothing(token_set, tmp_path, sizes):
  found = {}
  for name, devices, split in (('one', 1, {}), ('split', 4, sizes)):
    runs.parse(token_set, STEPS=4)
    with runs.on_devices(devices, **split):
      _, found[name] = runs.train_bound(tmp_path / name)
    losses = runs.logged(tmp_path / name / 'train', 'loss')
    found[name, 'losses'] = [losses[step] for step in sorted(losses)]
  np.testing.assert_allclose(
    found['one', 'losses'], found['split', 'losses'], atol=1e-5
  )
  # They are split, and the moments with them.
  table = found['split'].params['stack']['layer_0']['block']['mlp']['up']
  assert table.addressable_shards[0].data.size == table.size // 4
  moments = [
    leaf
    for name, leaf in found['split'].param_states.items()
    if name.endswith('mlp:up')
  ]
  assert moments
  for moment in moments:
    assert moment.sharding == table.sharding


@pytest.mark.parametrize('name', ['adamw', 'adafactor'])
def test_other_optimizers(token_set, tmp_path, name):
  settings = {
    'OptimizerConfig.name': name,
    'OptimizerConfig.learning_rate': 1e-3,
    'OptimizerConfig.accumulate': 2,
    'load_tasks.tasks': ['unconditional'],
    'STEPS': 4,
    'ScheduleConfig.warmup_steps': 1,
  }
  runs.train_ours(token_set, tmp_path / 'ours', **settings)
  runs.train_t5x(token_set, tmp_path / 'theirs', **settings)
  left = export.load_params(tmp_path / 'ours', 'prefix_lm')[1]
  right = export.load_params(tmp_path / 'theirs', 'prefix_lm')[1]
  for one, other in zip(*map(jax.tree.leaves, (left, right)), strict=True):
    np.testing.assert_allclose(one, other, atol=2e-4)


def test_a_run_changes_trainers_and_back(token_set, tmp_path):
  settings = {'LoopConfig.save_every': 2, 'ScheduleConfig.warmup_steps': 1}
  whole = runs.train_ours(token_set, tmp_path / 'whole', STEPS=6, **settings)
  # Two steps here, two there, two here; the schedule is that of six steps.
  runs_of = tmp_path / 'begun'
  runs.train_ours(
    token_set, runs_of, STEPS=6, **{**settings, 'LoopConfig.keep': 9}
  )
  for later in ('4', '6'):
    shutil.rmtree(runs_of / 'steps' / later)
  there, back = tmp_path / 'there', tmp_path / 'back'
  assert t5x_convert.convert(runs_of, there) == 2
  runs.train_t5x(
    token_set, there, STEPS=6, **{**settings, 'LoopConfig.keep': 9}
  )
  shutil.rmtree(there / 'checkpoint_6')
  assert t5x_convert.convert(there, back) == 4
  resumed = runs.train_ours(token_set, back, STEPS=6, **settings)
  assert resumed.steps == 6
  for one, other in zip(
    *map(jax.tree.leaves, (whole.params, resumed.params)), strict=True
  ):
    np.testing.assert_allclose(one, other, atol=1e-4)
  # What is only written anew is the same bit for bit.
  again = tmp_path / 'again'
  t5x_convert.convert(runs_of, tmp_path / 'once')
  t5x_convert.convert(tmp_path / 'once', again)
  for item in ('params', 'optimizer'):
    runs.assert_equal(
      opened.read_arrays(runs_of / 'steps/2' / item),
      opened.read_arrays(again / 'steps/2' / item),
    )


def test_a_run_begins_with_a_text_decoder(token_set, tmp_path, capsys):
  arrays = t5x_files.text_decoder(
    width=64, heads=2, head_dim=32, mlp=128, vocab=100, layers=2
  )
  t5x_files.write(tmp_path / 'checkpoint_7', arrays)
  runs.parse(token_set, STEPS=2)
  runs.train_bound(
    tmp_path / 'run',
    train_state_initializer_cls=initial.text_decoder(
      str(tmp_path / 'checkpoint_7')
    ),
  )
  assert 'decoder.layers_*.mlp.wo.kernel' in capsys.readouterr().out
  held = export.load_params(tmp_path / 'run', 'prefix_lm', step=0)[1]
  np.testing.assert_array_equal(
    held['stack']['layer_1']['block']['mlp']['down'],
    arrays['decoder.layers_1.mlp.wo.kernel'],
  )


@pytest.mark.parametrize(
  'validate, is_right', [(0, True), (8, True), (3, False)]
)
def test_periods_are_those_of_the_run(token_set, validate, is_right):
  periods = {'LoopConfig.save_every': 4, 'LoopConfig.validate_every': validate}
  runs.parse(token_set, STEPS=10, **periods)
  if is_right:
    assert experiment.total_steps() == 10
    assert experiment.validate_every() == validate
    return
  with pytest.raises(errors.ConfigError, match='save_every is 4 and .* 3'):
    experiment.total_steps()


def test_a_folder_of_the_other_trainer_is_refused(token_set, tmp_path):
  runs.train_ours(token_set, tmp_path / 'ours', STEPS=4)
  with pytest.raises(errors.CheckpointError, match='of videopoet train'):
    runs.train_t5x(token_set, tmp_path / 'ours', STEPS=4)
  t5x_convert.convert(tmp_path / 'ours', tmp_path / 'theirs')
  with pytest.raises(errors.CheckpointError, match='of T5X; resume'):
    runs.train_ours(token_set, tmp_path / 'theirs', STEPS=4)
  # A checkpoint of another model is told apart before it is read.
  runs.parse(token_set, **{'prefix_lm_preset.mlp_dim': 40})
  with pytest.raises(errors.CheckpointError, match='mlp_dim'):
    checkpoints.checked(str(tmp_path / 'theirs/checkpoint_4'))
