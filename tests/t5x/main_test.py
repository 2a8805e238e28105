"""`python -m videopoet_jax.t5x` as a user of T5X calls it."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from tests.preparation import token_set as token_set_lib
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import tasks
from videopoet_jax.core import vocabulary
from videopoet_jax.data import layout_tasks
from videopoet_jax.t5x import __main__ as main_lib
from videopoet_jax.t5x import shims


def _run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'videopoet_jax.t5x', *map(str, arguments)],
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=600,
  )


def _flags(token_set, **more):
  values = {
    'TOKENS': token_set,
    'VISUAL': '',
    'AUDIO': '',
    'STEPS': 4,
    'load_tasks.tasks': ['unconditional', 'video_to_audio'],
    'prefix_lm.tokens_per_batch': 256,
    'LoopConfig.log_every': 2,
    'LoopConfig.save_every': 2,
    'LoopConfig.validate_every': 4,
    'LoopConfig.ema_decay': 0.0,
    **more,
  }
  files = ('gin/runs/shapes_prefix_lm.gin', 'gin/local_tiny.gin')
  return [
    *(f'--gin_file={file}' for file in files),
    *(f'--gin.{name}={value!r}' for name, value in values.items()),
  ]


def test_files_are_told_from_other_flags():
  files, rest = main_lib.split_files(
    ['--gin_file', 'a.gin', '--x=1', '--gin_file=b.gin', '--gin.A=2']
  )
  assert files == ['a.gin', 'b.gin'] and rest == ['--x=1', '--gin.A=2']
  with pytest.raises(errors.ConfigError, match='path of a file'):
    main_lib.split_files(['--gin_file'])


def test_help_and_unknown_mains(capsys):
  assert main_lib.main(['--help']) == 0
  assert 'convert' in capsys.readouterr().out
  with pytest.raises(errors.ConfigError, match=r"'trian'.*train"):
    main_lib.main(['trian'])
  with pytest.raises(errors.ConfigError, match='two folders'):
    main_lib.main(['convert', 'one'])


def test_mains_by_the_shipped_files(tmp_path):
  pytest.importorskip('t5x.trainer', reason='needs T5X (docs/t5x.md)')
  token_set = token_set_lib.write(tmp_path / 'tokens')
  flags = _flags(token_set)
  done = _run('train', *flags, f'--gin.MODEL_DIR={str(tmp_path / "run")!r}')
  assert done.returncode == 0, done.stderr[-3000:]
  assert 'Starting main loop over steps 0-4' in done.stderr
  assert (tmp_path / 'run/checkpoint_4/state').is_dir()
  assert (tmp_path / 'run/checkpoint.json').is_file()
  assert (tmp_path / 'run/training_eval').is_dir()
  done = _run(
    'infer',
    *flags,
    f'--gin.CHECKPOINT_PATH={str(tmp_path / "run/checkpoint_4")!r}',
    f'--gin.INFER_OUTPUT_DIR={str(tmp_path / "out")!r}',
  )
  assert done.returncode == 0, done.stderr[-3000:]
  # All layouts unless one is named, eight examples each.
  for task in ('unconditional', 'video_to_audio'):
    (file,) = (tmp_path / 'out').glob(f'*{task}*predict.jsonl-00000-of-00001')
    assert len(file.read_text().splitlines()) == 8
  done = _run(
    'eval',
    *flags,
    f'--gin.CHECKPOINT_PATH={str(tmp_path / "run/checkpoint_4")!r}',
    f'--gin.EVAL_OUTPUT_DIR={str(tmp_path / "eval")!r}',
  )
  assert done.returncode == 0, done.stderr[-3000:]
  files = list((tmp_path / 'eval/inference_eval').glob('*-metrics.jsonl'))
  assert len(files) == 2
  for file in files:
    assert 'perplexity/' in file.read_text()


@pytest.mark.parametrize(
  'setting, said',
  [
    ({'LoopConfig.ema_decay': 0.9}, 'LoopConfig.ema_decay is 0.9'),
    ({'TOKENS': 'no/such/set'}, 'no/such/set'),
    ({'STEP': 3}, 'STEP is bound by --gin.STEP and used nowhere'),
  ],
)
def test_a_mistake_is_one_line(tmp_path, setting, said):
  pytest.importorskip('t5x.trainer', reason='needs T5X (docs/t5x.md)')
  token_set = token_set_lib.write(tmp_path / 'tokens')
  done = _run(
    'train',
    *_flags(token_set, **setting),
    f'--gin.MODEL_DIR={str(tmp_path / "run")!r}',
  )
  assert done.returncode == 2, done.stderr[-3000:]
  last = done.stderr.strip().splitlines()[-1]
  assert said in last and last.split(':')[0].endswith('Error')


def test_examples_name_tasks_that_there_are(repository):
  """Headers and the page name SeqIO tasks of the shapes' size."""
  texts = [(repository / 'docs/t5x.md').read_text()]
  texts += [file.read_text() for file in (repository / 'gin/t5x').glob('*.gin')]
  found = set(re.findall(r'videopoet:[a-z_]+:[\w.:]+', ' '.join(texts)))
  assert found
  space = tasks.LayoutSpace(
    vocabulary.Vocabulary(), specs.VisualSpec(), specs.AudioSpec()
  )
  for name in found:
    layout = layout_tasks.layout_name(name)
    assert layout in space.standard_names(*tasks.clip_of(layout)), name


def test_the_pins_are_the_same_everywhere(repository):
  for file in ('docs/t5x.md', 'launch/Dockerfile'):
    assert shims.COMMIT in (repository / file).read_text()
  pins = re.findall(r'[a-z_]+==[\d.]+', shims._INSTALL)
  for file in ('docs/t5x.md', 'launch/Dockerfile', 'tests/t5x/run_all.sh'):
    text = (repository / file).read_text()
    assert pins and all(pin in text for pin in pins)


@pytest.mark.skipif(
  importlib.util.find_spec('t5x') is not None, reason='T5X is installed'
)
def test_without_t5x_it_says_how_to_install_it():
  done = subprocess.run(
    [sys.executable, '-m', 'videopoet_jax.t5x', 'train', '--gin_file=x'],
    env={**os.environ, 'PYTHONPATH': os.getcwd()},
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert done.returncode == 2
  assert 'google-research/t5x@cc342d4' in done.stderr.splitlines()[-1]
