"""A run of images and four sizes of clips: programs, resuming, refusals."""

import shutil

import chex
import jax
import pytest

from tests.data import clip_sets
from videopoet_jax.core import entry
from videopoet_jax.experiments import train as train_lib
from videopoet_jax.jobs import train
from videopoet_jax.training import compiled_steps
from videopoet_jax.training import prefix_lm

pytestmark = pytest.mark.usefixtures('clean_registries')

FILES = (
  'gin/runs/shapes_prefix_lm.gin',
  'gin/local_tiny.gin',
  'gin/mixtures/two_stage.gin',
  'gin/training/adamw.gin',
)
STEPS = 10


@pytest.fixture(scope='module', name='sets')
def _sets(tmp_path_factory):
  return clip_sets.write_all(tmp_path_factory.mktemp('sets'))


@pytest.fixture(name='compiles_fast')
def _compiles_fast():
  """Compiling is most of the time here: XLA without its optimizations."""
  before = jax.config.values['jax_disable_most_optimizations']
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', before)


def _values(sets, **more):
  return {
    'TOKENS': sets,
    'VISUAL': '',
    'AUDIO': '',
    'STEPS': STEPS,
    'load_tasks.tasks': ['text_to_video', 'text_to_image'],
    # Draws all six sizes in ten steps, four of them in the last five.
    'prefix_lm.seed': 34,
    'MixtureSchedule.first_share': 0.5,
    'MixtureSchedule.major_share': 0.6,
    'prefix_lm.tokens_per_batch': 1024,
    'prefix_lm.validation_batches': 0,
    'prefix_lm_preset.num_layers': 1,
    'prefix_lm_preset.cell_inputs': (),
    'prefix_lm_preset.text_encoder_layers': 0,
    'prefix_lm_preset.width': 32,
    'prefix_lm_preset.mlp_dim': 32,
    'prefix_lm_preset.remat': 'none',
    'LoopConfig.tensorboard': False,
    'LoopConfig.log_every': 1,
    'LoopConfig.save_every': 5,
    'LoopConfig.keep': 2,
    **more,
  }


def _train(sets, run_dir):
  bindings = [f'{name} = {value!r}' for name, value in _values(sets).items()]
  return train_lib.train(train_lib.from_gin(FILES, bindings), run_dir)


def test_one_program_a_layout_and_a_run_that_resumes_bit_for_bit(
  sets, tmp_path, monkeypatch, compiles_fast
):
  compiled, traced = [], []
  timed, loss = (
    compiled_steps.CompiledSteps._timed,
    prefix_lm.PrefixLMTrainable.loss,
  )

  def count(self, unit):
    compiled.append(unit)
    return timed(self, unit)

  def trace(self, params, batch, rng, step, unit):
    traced.append((unit, batch['tokens'].shape))
    return loss(self, params, batch, rng, step, unit)

  monkeypatch.setattr(compiled_steps.CompiledSteps, '_timed', count)
  monkeypatch.setattr(prefix_lm.PrefixLMTrainable, 'loss', trace)
  assert jax.device_count() == 8
  whole = _train(sets, tmp_path / 'whole')
  units = [unit for unit in compiled if '/' in unit]
  # Images and clips of every size, each compiled once.
  sizes = sorted(unit.split('/')[1] for unit in units)
  assert sizes == sorted('x'.join(map(str, size)) for size in clip_sets.SIZES)
  assert len(compiled) == len(units) + 1  # And the update that all share.
  assert {unit for unit, _ in traced} == set(units)
  assert len(set(traced)) == len(units)  # One shape a unit.

  shutil.copytree(tmp_path / 'whole', tmp_path / 'resumed')
  shutil.rmtree(tmp_path / 'resumed/steps/10')
  resumed = _train(sets, tmp_path / 'resumed')
  assert resumed.steps == whole.steps == STEPS
  for part in ('params', 'ema', 'optimizer'):
    chex.assert_trees_all_equal(
      getattr(whole.state, part),
      getattr(resumed.state, part),
    )


def test_sets_that_do_not_go_together_end_before_anything_is_compiled(
  sets, tmp_path, monkeypatch, capsys
):
  compiled = []
  monkeypatch.setattr(
    compiled_steps.CompiledSteps,
    '_timed',
    lambda self, unit: compiled.append(unit),
  )
  other = clip_sets.write(
    tmp_path / 'other', (17, 32, 32), range(4), fingerprint='v2'
  )
  for tokens, tasks, message in (
    ([sets[1], other], ['text_to_video'], 'other holds ids of another visual'),
    ([sets[0], sets[4]], ['text_to_video'], '1x32x32 holds clips of 1x32x32'),
    ([*sets, sets[4]], ['text_to_image'], '1x32x32 twice; name it once'),
    ([sets[0], f'{sets[4]}_absent'], ['text_to_image'], '1x32x32_absent'),
    (sets[:2], ['stylization'], "needs the feature 'structure_tokens'"),
  ):
    values = _values(tokens, **{'load_tasks.tasks': tasks})
    flags = [flag for file in FILES for flag in ('--gin_file', file)]
    flags += [f'--gin.{name}={value!r}' for name, value in values.items()]
    flags += ['--run_dir', str(tmp_path / 'run')]
    assert entry.run(train.main, flags) == 2
    said = capsys.readouterr().err
    assert message in said and said.count('\n') == 1
  assert not compiled
