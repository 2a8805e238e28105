"""`videopoet train` from its gin files, and what it says to a mistake."""

import contextlib
import re
import shutil

import chex
import gin
import jax
import pytest

from tests.preparation import token_set as token_set_lib
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import export
from videopoet_jax.core import config
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.core import paths
from videopoet_jax.core import storage
from videopoet_jax.data import tokens
from videopoet_jax.experiments import experiment as experiment_lib
from videopoet_jax.experiments import prefix_lm
from videopoet_jax.experiments import train as train_lib
from videopoet_jax.jobs import train
from videopoet_jax.models.prefix_lm import description
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.training import loop
from videopoet_jax.training import loop_config
from videopoet_jax.training import metrics
from videopoet_jax.training import optimizers

pytestmark = pytest.mark.usefixtures('clean_registries')

FILES = ('gin/runs/shapes_prefix_lm.gin', 'gin/local_tiny.gin')
TASKS = ['unconditional', 'video_to_audio']


@pytest.fixture(scope='module', name='token_set')
def _token_set(tmp_path_factory):
  return token_set_lib.write(tmp_path_factory.mktemp('data') / 'tokens')


def _bindings(token_set, **more):
  values = {
    'TOKENS': token_set,
    'VISUAL': '',
    'AUDIO': '',
    'STEPS': 3,
    'load_tasks.tasks': TASKS,
    'prefix_lm.tokens_per_batch': 256,
    'LoopConfig.tensorboard': False,
    'LoopConfig.log_every': 1,
    'LoopConfig.validate_every': 3,
    **more,
  }
  return [f'{name} = {value!r}' for name, value in values.items()]


def _flags(token_set, run_dir, *more):
  bindings = [
    '--gin.' + line.replace(' = ', '=', 1) for line in _bindings(token_set)
  ]
  files = [flag for f in FILES for flag in ('--gin_file', f)]
  return [*files, *bindings, '--run_dir', str(run_dir), *more]


def test_a_run_leaves_a_checkpoint_that_needs_nothing_else(
  token_set, tmp_path, capsys
):
  # The tests' eight devices: the mesh's data axis takes them all.
  run_dir = tmp_path / 'lm'
  recommended = {'default': {'temperature': 0.5}}
  recommends = f'--gin.prefix_lm.sampling={recommended!r}'
  assert entry.run(train.main, _flags(token_set, run_dir, recommends)) == 0
  printed = capsys.readouterr().out
  assert '2 unit(s) to compile, 3 steps' in printed
  assert 'step 3/3' in printed
  described, params = export.load_params(run_dir, 'prefix_lm')
  model_config, space, names = description.read(described)
  assert model_config.num_layers == 2
  assert space.visual.codebook_size == 64
  assert names == ('unconditional/9x16x16', 'video_to_audio/9x16x16')
  assert described['fingerprints'] == {'visual': 'v1', 'audio': 'a1'}
  assert described['sampling'] == recommended
  assert jax.tree.leaves(params)
  assert (run_dir / 'text/checkpoint.json').exists()
  assert 'OptimizerConfig.name' in (run_dir / 'config.gin').read_text()
  records = metrics.read(run_dir / 'metrics.jsonl')
  assert any('validation/loss/unconditional' in record for record in records)

  # Adaptation: another mix of tasks, the same vocabulary, step 0.
  adapted = train_lib.train(
    train_lib.from_gin(
      FILES, _bindings(token_set, **{'load_tasks.tasks': ['unconditional']})
    ),
    tmp_path / 'adapted',
    init_from=run_dir,
  )
  assert adapted.steps == 3

  # Tokens of another tokenizer mean something else.
  other = tmp_path / 'other_tokens'
  shutil.copytree(token_set, other)
  told = other / tokens.INFO_FILE
  told.write_text(told.read_text().replace('"v1"', '"v2"'))
  for option, value, what in (
    ('TOKENS', str(other), 'fingerprints.visual'),
    ('prefix_lm.text_slots', 5, 'space.text_slots'),
  ):
    flags = _flags(token_set, run_dir, f'--gin.{option}={value!r}')
    assert entry.run(train.main, flags) == 2
    assert what in capsys.readouterr().err
  flags = _flags(token_set, tmp_path / 'new', f'--gin.TOKENS={str(other)!r}')
  assert entry.run(train.main, [*flags, '--init_from', str(run_dir)]) == 2
  assert 'fingerprints.visual' in capsys.readouterr().err

  # A start that is refused leaves the run as it was.
  kept = {
    path: path.read_bytes()
    for path in run_dir.rglob('*')
    if path.is_file() and 'steps' not in path.parts
  }
  other = _flags(token_set, run_dir, '--gin.prefix_lm_preset.mlp_dim=40')
  assert entry.run(train.main, other) == 2
  assert 'is of another model' in capsys.readouterr().err
  assert kept == {path: path.read_bytes() for path in kept}


def test_a_resumed_language_model_is_equal_bit_for_bit(token_set, tmp_path):
  options = {'STEPS': 4, 'LoopConfig.save_every': 2, 'LoopConfig.keep': 2}

  def run(name):
    experiment = train_lib.from_gin(FILES, _bindings(token_set, **options))
    return train_lib.train(experiment, tmp_path / name)

  whole, second = run('whole'), run('second')
  shutil.rmtree(tmp_path / 'second/steps/4')
  resumed = run('second')
  assert resumed.steps == 4
  for other in (second, resumed):
    for part in ('params', 'ema', 'optimizer'):
      chex.assert_trees_all_equal(
        getattr(whole.state, part),
        getattr(other.state, part),
      )


def test_a_task_file_of_ones_own_with_a_module_beside_it(
  token_set, tmp_path, capsys, monkeypatch
):
  folder = tmp_path / 'mine'
  folder.mkdir()
  (folder / 'my_steps.py').write_text(
    'import gin\n\n@gin.configurable\ndef hand_on(dataset):\n'
    '  print("my step")\n  return dataset\n'
  )
  (folder / 'first.gin').write_text(
    'import my_steps\n'
    "first/Task.template = 'unconditional'\n"
    'first/Task.preprocessors = [@my_steps.hand_on]\n'
  )
  monkeypatch.chdir(folder)
  flags = _flags(token_set, tmp_path / 'run', '--task_file', 'first.gin')
  flags += ['--gin.STEPS=1', "--gin.load_tasks.tasks=['unconditional']"]
  assert entry.run(train.main, flags) == 0
  printed = capsys.readouterr().out
  assert '2 unit(s) to compile' in printed and 'my step' in printed
  described = describe.read_description(tmp_path / 'run', 'prefix_lm')
  assert 'first/9x16x16' in described['layouts']


def test_the_language_model_is_the_same_on_eight_devices(token_set, tmp_path):
  config.parse(FILES, _bindings(token_set))
  parts = prefix_lm.prefix_lm()
  results = []
  for name, sizes, devices in (
    ('one', {}, jax.devices()[:1]),
    ('eight', {'data': 2, 'fsdp': 2, 'tensor': 2}, None),
  ):
    results.append(
      loop.run(
        parts.trainable,
        parts.batches,
        tmp_path / name,
        config=loop_config.LoopConfig(total_steps=2, tensorboard=False),
        # A large epsilon: Adam must not blow rounding up to a whole step.
        optimizer=optimizers.OptimizerConfig(epsilon=1e-3),
        mesh=mesh_lib.MeshConfig(**sizes),
        devices=devices,
        log=lambda line: None,
      )
    )
  one, eight = results
  query = jax.tree_util.tree_leaves_with_path(eight.params)
  split = [p for p, x in query if not x.sharding.is_fully_replicated]
  assert len(split) > len(query) / 2
  assert one.metrics['loss'] == pytest.approx(eight.metrics['loss'], rel=1e-4)
  chex.assert_trees_all_close(one.params, eight.params, atol=1e-4)


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--gin.OptimizerConfig.learning_rat=1'], "'learning_rate'"),
    (['--gin.OptimiserConfig.name="muon"'], "'OptimizerConfig'"),
    (['--gin.MeshConfig.data=3'], 'asks for 3 devices.*data=8'),
    (['--gin_file', 'gin/runs/shapes_prefix_ml.gin'], 'shapes_prefix_lm'),
    (['--gin.TOKENS="nowhere"'], 'not a token data set'),
    (['--init_from', 'nowhere'], 'nowhere is not a folder'),
    (['--gin.STEPS="ten"'], "STEPS is 'ten'; expected a whole number"),
    (['--gin.train.parts=None'], 'train.parts is None; expected @'),
    (['--gin.prefix_lm.tokens_per_batch=0'], 'must be at least 1'),
    (['--gin.LoopConfig.save_every=-1'], 'LoopConfig.save_every is -1'),
    (['--gin.unconditional/Task.rate="x"'], 'unconditional/Task.rate is'),
  ],
)
def test_a_mistake_is_one_line_and_status_2(
  token_set, tmp_path, capsys, flags, message
):
  status = entry.run(train.main, _flags(token_set, tmp_path / 'run', *flags))
  printed = capsys.readouterr().err.strip()
  assert status == 2, printed
  lines = [line for line in printed.splitlines() if 'Error' in line]
  assert len(lines) == 1
  assert re.search(message, lines[0]), printed


def test_a_run_that_stays_not_finite_is_not_started_again(
  tmp_path, capsys, monkeypatch
):
  def diverge(*args, **options):
    raise FloatingPointError('20 steps in a row were not finite')

  monkeypatch.setattr(train_lib, 'from_gin', diverge)
  flags = ['--gin_file', FILES[0], '--run_dir', str(tmp_path / 'run')]
  # Launchers repeat every status but this one.
  assert entry.run(train.main, flags) == 2
  assert 'training stopped: 20 steps' in capsys.readouterr().err


def test_required_things_are_asked_for(tmp_path, capsys):
  flags = ['--gin_file', FILES[0], '--run_dir', str(tmp_path / 'run')]
  assert entry.run(train.main, flags) == 2
  assert 'TOKENS' in capsys.readouterr().err


def test_a_folder_that_another_run_writes_to(
  token_set, tmp_path, capsys, monkeypatch
):
  run = tmp_path / 'run'
  run.mkdir()
  flags = _flags(token_set, run, '--init_from', 'nowhere')
  naps = []
  with contextlib.ExitStack() as other:
    other.enter_context(storage.held(run))
    monkeypatch.setattr(train_lib.time, 'sleep', naps.append)
    assert entry.run(train.main, flags) == 2
    printed = capsys.readouterr()
    assert 'another run is writing to' in printed.err
    assert printed.out.count('waiting for another run') == 1 and len(naps) > 9
    assert not list(run.iterdir())
    # One that ends meanwhile is waited for; then the next mistake shows.
    monkeypatch.setattr(train_lib.time, 'sleep', lambda _: other.close())
    assert entry.run(train.main, flags) == 2
  assert 'nowhere is not a folder' in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(token_set, tmp_path, capsys):
  (tmp_path / 'file').write_text('')
  status = entry.run(train.main, _flags(token_set, tmp_path / 'file/run'))
  assert status == 2
  assert 'cannot write the run folder' in capsys.readouterr().err


# The demo's files are profiles and changes to these.
_RUNS = [
  name
  for name in paths.gin_files()
  if name.startswith('gin/runs/')
  and not name.startswith(('gin/runs/demo', 'gin/runs/smoke'))
]


@pytest.mark.parametrize('name', _RUNS)
def test_every_run_file_parses_and_says_how_to_use_it(name):
  text = paths.resolve(name).read_text()
  assert text.startswith('# ')
  assert f'--gin_file {name}' in text
  assert '# Expect: ' in text
  names = ('TOKENS', 'VISUAL', 'AUDIO', 'MEDIA', 'HELD_OUT', 'PERCEPTUAL')
  # A header may show the commands before its own as well.
  command = text[text.index(f'--gin_file {name}') :]
  required = [n for n in names if f'--gin.{n}=' in command or f'{n} = ' in text]
  config.parse([name, FILES[1]], [f"{n} = 'x'" for n in required])
  assert config.call(experiment_lib.LoopConfig).total_steps == 20
  assert config.call(experiment_lib.OptimizerConfig).schedule.warmup_steps == 5


@pytest.mark.parametrize('model', ['tiny', '300m', '1b', '8b'])
def test_model_files_name_presets(model):
  config.parse([FILES[0], f'gin/models/{model}.gin'], ["TOKENS = 'x'",
    "VISUAL = ''", "AUDIO = ''"])  # fmt: skip
  assert gin.query_parameter('prefix_lm_preset.name') == model


@pytest.mark.parametrize(
  'sampling, what',
  [
    ({'unconditionl': {}}, "'unconditionl'.*unconditional"),
    ({'default': {'temp': 1.0}}, "default: .*'temp'"),
    ({'default': {'top_p': 2.0}}, 'default: top_p is 2.0'),
  ],
)
def test_recommended_sampling_is_checked(token_set, sampling, what):
  bindings = _bindings(token_set, **{'prefix_lm.sampling': sampling})
  config.parse(FILES, bindings)
  with pytest.raises(errors.ConfigError, match=what):
    config.call(prefix_lm.prefix_lm)
