"""Task adaptation from its run files: filter, adapters, and mistakes."""

import re

import gin
import numpy as np
import pytest

from tests.models import t5x_files
from tests.preparation import token_set as token_set_lib
from videopoet_jax.checkpoints import describe
from videopoet_jax.checkpoints import export
from videopoet_jax.core import config
from videopoet_jax.core import entry
from videopoet_jax.data import registry
from videopoet_jax.data import source
from videopoet_jax.experiments import prefix_lm
from videopoet_jax.jobs import train

pytestmark = pytest.mark.usefixtures('clean_registries')

_TASKS = ('text_to_video', 'image_to_video', 'video_to_audio')
_RUNS = (
  'gin/runs/adaptation.gin',
  'gin/runs/shapes_adaptation.gin',
  'gin/runs/text_to_video_adaptation.gin',
)
_TINY = 'gin/local_tiny.gin'
_LOW_RANK = 'gin/training/low_rank.gin'


@pytest.fixture(scope='module', name='token_set')
def _token_set(tmp_path_factory):
  return token_set_lib.write(tmp_path_factory.mktemp('data') / 'tokens')


def _bindings(token_set, **more):
  values = {
    'TOKENS': token_set,
    'VISUAL': '',
    'AUDIO': '',
    'STEPS': 2,
    'prefix_lm.tokens_per_batch': 256,
    'prefix_lm_preset.num_layers': 1,
    'LoopConfig.tensorboard': False,
    'LoopConfig.log_every': 1,
    'LoopConfig.validate_every': 0,
    # Compiling is what takes the time here.
    'LoopConfig.compiler_options': {'xla_backend_optimization_level': 0},
    **more,
  }
  return [f'{name} = {value!r}' for name, value in values.items()]


def _flags(files, bindings, *more):
  return [
    *(flag for file in files for flag in ('--gin_file', str(file))),
    *('--gin.' + line.replace(' = ', '=', 1) for line in bindings),
    *(str(flag) for flag in more),
  ]


@pytest.fixture(name='pretrained', scope='module')
def _pretrained(token_set, tmp_path_factory):
  """A run of other tasks, as the pretraining of `adaptation.gin`."""
  run_dir = tmp_path_factory.mktemp('pretrained') / 'lm'
  bindings = _bindings(token_set, **{'load_tasks.tasks': ['unconditional']})
  gin.clear_config()
  registry.reset()
  flags = _flags(
    ('gin/runs/media_prefix_lm.gin', _TINY), bindings, '--run_dir', run_dir
  )
  assert entry.run(train.main, flags) == 0
  return run_dir


@pytest.mark.parametrize('name', _RUNS)
def test_the_papers_three_tasks_and_no_others(token_set, name):
  config.parse([name, _TINY], _bindings(token_set, QUALITY={'quality': 0.5}))
  parts = config.call(prefix_lm.prefix_lm)
  tasks = _TASKS[:1] if name == _RUNS[2] else _TASKS
  assert {unit.split('/')[0] for unit in parts.batches.units()} == set(tasks)
  assert {unit.split('/')[0] for unit in parts.validation.units()} == set(tasks)


def test_the_filter_joins_the_tasks_own(token_set):
  config.parse(_RUNS[:1], _bindings(token_set))
  tasks = registry.at_least(registry.load_tasks(), {'quality': 0.5})
  by_name = {task.name: dict(task.minimum) for task in tasks}
  assert by_name['text_to_video'] == {'quality': 0.5}
  assert by_name['video_to_audio'] == {'quality': 0.5, 'has_audio?': 1}
  opened = source.IndexedSource(
    token_set,
    selection=source.Selection(minimum=tasks[0].minimum),
  )
  # Half of the 32: 4 / 7 and more.
  assert opened.order('train', 0, False).size == 16
  # A task's own larger value stays.
  again = registry.at_least(tasks, {'quality': 0.25})
  assert dict(again[0].minimum)['quality'] == 0.5


def test_adaptation_with_and_without_adapters(
  token_set, pretrained, tmp_path, capsys
):
  files = (_RUNS[0], _TINY)
  bindings = _bindings(
    token_set,
    QUALITY={'quality': 0.5},
    **{'load_tasks.tasks': ['video_to_audio']},
  )
  begin = ('--init_from', pretrained)
  full = _flags(files, bindings, *begin, '--run_dir', tmp_path / 'full')
  assert entry.run(train.main, full) == 0
  low = _flags(
    (*files, _LOW_RANK), bindings, '--gin.LowRankConfig.rank=2', *begin,
    '--run_dir', tmp_path / 'low',
  )  # fmt: skip
  assert entry.run(train.main, low) == 0
  assert 'of adapters of' in capsys.readouterr().out
  folder = describe.read_description(tmp_path / 'low')
  assert folder['low_rank']['rank'] == 2
  _, before = export.load_params(pretrained)
  _, after = export.load_params(tmp_path / 'low', 'prefix_lm')
  embedding = before['embedding']['special_table']
  np.testing.assert_array_equal(after['embedding']['special_table'], embedding)
  name = ('stack', 'layer_0', 'block', 'attention', 'query')
  for part in name:
    before, after = before[part], after[part]
  assert np.any(before != after)
  # Without --init_from it resumes, and with nothing to resume it is refused.
  longer = [*low[: low.index('--init_from')], '--gin.STEPS=3']
  capsys.readouterr()
  assert (
    entry.run(train.main, [*longer, '--run_dir', str(tmp_path / 'low')]) == 0
  )
  assert 'resuming' in capsys.readouterr().out
  assert (
    entry.run(train.main, [*longer, '--run_dir', str(tmp_path / 'new')]) == 2
  )
  assert 'there is no --init_from' in capsys.readouterr().err


def test_the_config_of_a_run_is_a_run_file(token_set, pretrained, tmp_path):
  """Its sizes need not be said again."""
  files = (pretrained / 'config.gin', 'gin/training/adaptation.gin')
  flags = _flags(
    files, ['STEPS = 1', "load_tasks.tasks = ['image_to_video']"],
    '--init_from', pretrained, '--run_dir', tmp_path / 'adapted',
  )  # fmt: skip
  assert entry.run(train.main, flags) == 0
  layouts = describe.read_description(tmp_path / 'adapted')['layouts']
  assert {name.split('/')[0] for name in layouts} == {'image_to_video'}


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ("--gin.QUALITY={'qualty': 0.5}", "no feature 'qualty'.*quality"),
    ("--gin.QUALITY={'quality': 1.5}", 'no example.*quality >= 1.5'),
    ("--gin.QUALITY={'text': 0.5}", "feature 'text' is text"),
    ("--gin.QUALITY={'video_tokens': 1}", 'a single number'),
    ("--gin.QUALITY={'quality': 'high'}", 'QUALITY is.*prefix_lm.minimum'),
    ('--gin.QUALITY=0.5', 'QUALITY is 0.5.*prefix_lm.minimum'),
    ('--gin.LowRankConfig.rank=0', 'LowRankConfig.rank is 0'),
    ('--gin.LowRankConfig.rank=4000', 'less than its smaller side'),
    ("--gin.LowRankConfig.matrices='atention'", 'matches no matrix'),
  ],
)
def test_a_mistake_is_one_line_and_status_2(
  token_set, pretrained, tmp_path, capsys, flags, message
):
  files = (_RUNS[0], _TINY, _LOW_RANK)
  arguments = _flags(
    files, _bindings(token_set), flags,
    '--init_from', pretrained, '--run_dir', tmp_path / 'run',
  )  # fmt: skip
  status = entry.run(train.main, arguments)
  printed = capsys.readouterr().err.strip()
  assert status == 2, printed
  lines = [line for line in printed.splitlines() if 'Error' in line]
  assert len(lines) == 1
  assert re.search(message, lines[0]), printed


def test_a_run_begins_with_a_text_decoder_of_t5x(token_set, tmp_path, capsys):
  decoder = tmp_path / 'checkpoint_7'
  arrays = t5x_files.text_decoder(
    width=64, heads=2, head_dim=32, mlp=128, vocab=100, layers=1
  )
  t5x_files.write(decoder, arrays)
  bindings = _bindings(
    token_set,
    **{'load_tasks.tasks': ['unconditional'], 'OptimizerConfig.name': 'adamw',
       'OptimizerConfig.learning_rate': 0.0, 'STEPS': 1},
  )  # fmt: skip
  files = ('gin/runs/media_prefix_lm.gin', _TINY)
  flags = _flags(
    files, bindings, '--run_dir', tmp_path / 'run', '--init_from', decoder
  )
  assert entry.run(train.main, flags) == 0
  printed = capsys.readouterr().out
  assert 'decoder.layers_*.mlp.wo.kernel' in printed
  assert 'not taken: decoder.logits_dense.kernel' in printed
  held = export.load_params(tmp_path / 'run', 'prefix_lm')[1]
  np.testing.assert_allclose(
    held['stack']['layer_0']['block']['mlp']['down'],
    arrays['decoder.layers_0.mlp.wo.kernel'],
    rtol=1e-6,
  )
  np.testing.assert_allclose(
    held['embedding']['text_table'][:100],
    arrays['decoder.token_embedder.embedding'],
    rtol=1e-6,
  )
  other = _flags(
    files,
    [*bindings, 'prefix_lm_preset.width = 32'],
    '--run_dir', tmp_path / 'other', '--init_from', decoder,
  )  # fmt: skip
  assert entry.run(train.main, other) == 2
  assert 'fits this model' in capsys.readouterr().err
