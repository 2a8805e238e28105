"""T5X's inference and evaluation use this project's sampler and metrics."""

import functools
import json

import numpy as np
import pytest
import seqio

pytest.importorskip('t5x.trainer', reason='needs T5X (docs/t5x.md)')

from t5x import eval as t5x_eval
from t5x import infer
from t5x import utils

from tests.preparation import token_set as token_set_lib
from tests.t5x import runs
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import t5x_convert
from videopoet_jax.data import layout_tasks
from videopoet_jax.evaluation import checkpoint_choice
from videopoet_jax.inference import decode
from videopoet_jax.inference import generator
from videopoet_jax.inference import sampling
from videopoet_jax.t5x import experiment
from videopoet_jax.t5x import model
from videopoet_jax.t5x import partitioning
from videopoet_jax.t5x import tasks

# T5X uses much that its libraries have deprecated.
pytestmark = pytest.mark.filterwarnings('default')

_TEXT = 'text_to_video/9x16x16'
_SOUND = 'video_to_audio/9x16x16'


@pytest.fixture(scope='module', name='token_set')
def _token_set(tmp_path_factory):
  return token_set_lib.write(tmp_path_factory.mktemp('data') / 'tokens')


@pytest.fixture(scope='module', name='checkpoint')
def _checkpoint(token_set, tmp_path_factory):
  """A run of our own loop as one of T5X."""
  folder = tmp_path_factory.mktemp('runs')
  runs.train_ours(token_set, folder / 'ours', STEPS=4)
  t5x_convert.convert(folder / 'ours', folder / 'theirs')
  return folder / 'theirs'


def _options(checkpoint, layout, folder, config):
  return {
    'model': model.layout_model(config),
    'dataset_cfg': utils.DatasetConfig(
      tasks.registered(layout_tasks.seqio_name(layout)),
      None,
      'validation',
      8,
      False,
      0,
    ),
    'restore_checkpoint_cfg': utils.RestoreCheckpointConfig(
      str(checkpoint / 'checkpoint_4'), mode='specific'
    ),
    'partitioner': partitioning.mesh_partitioner(),
    'output_dir': str(folder),
    'summarize_config_fn': lambda **_: None,
  }


def _batch(layout):
  return experiment.current().parts.validation.batches(layout)[0]


@pytest.mark.parametrize(
  'layout, guidance', [(_TEXT, 1.0), (_TEXT, 3.0), (_SOUND, 1.0)]
)
def test_greedy_inference_is_our_sampler(
  token_set, checkpoint, tmp_path, layout, guidance
):
  runs.parse(token_set)
  config = sampling.SamplingConfig(temperature=0.0, guidance=guidance)
  infer.infer(
    mode='predict',
    checkpoint_period=1,
    **_options(checkpoint, layout, tmp_path, config),
  )
  lines = next(tmp_path.glob('*predict.jsonl*0001')).read_text().splitlines()
  found = [json.loads(line)['prediction'] for line in lines]
  made, batch = experiment.current(), _batch(layout)
  params = export.load_params(checkpoint, 'prefix_lm')[1]
  of = made.trainable.layouts[layout]
  expected = decode.generate(
    made.trainable.module,
    params,
    of,
    batch['tokens'],
    batch['visible'],
    config=config,
  )
  assert len(found) == len(expected) == 8
  np.testing.assert_array_equal(found, expected[:, of.prefix_length :])
  # Texts differ from each other in nothing, videos do.
  assert layout == _TEXT or len({tuple(ids) for ids in found}) > 1


@pytest.mark.parametrize('mode', ['score', 'predict_with_aux'])
def test_other_modes_write_scores(token_set, checkpoint, tmp_path, mode):
  runs.parse(token_set)
  config = sampling.SamplingConfig(temperature=0.0)
  infer.infer(
    mode=mode,
    checkpoint_period=1,
    **_options(checkpoint, _TEXT, tmp_path, config),
  )
  lines = next(tmp_path.glob(f'*{mode}.jsonl*0001')).read_text().splitlines()
  written = [json.loads(line) for line in lines]
  made, batch = experiment.current(), _batch(_TEXT)
  params = export.load_params(checkpoint, 'prefix_lm')[1]
  of = made.trainable.layouts[_TEXT]
  tokens = batch['tokens']
  if mode != 'score':
    tokens = decode.generate(
      made.trainable.module, params, of, tokens, batch['visible'],
      config=config,
    )  # fmt: skip
  results = made.trainable.module.apply(
    {'params': params}, tokens, batch['visible'], of
  )
  expected = -sum(np.sum(r.loss_BT, axis=1) for r in results.values())
  key = 'score' if mode == 'score' else 'scores'
  found = [one[key] if key in one else one['aux'][key] for one in written]
  np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_evaluation_writes_our_metrics(token_set, checkpoint, tmp_path):
  runs.parse(token_set)
  greedy = sampling.SamplingConfig(temperature=0.0)
  options = _options(checkpoint, _TEXT, tmp_path, greedy)
  t5x_eval.evaluate(
    inference_evaluator_cls=functools.partial(
      tasks.evaluator, logger_cls=(seqio.JSONLogger,)
    ),
    **options,
  )
  name = options['dataset_cfg'].mixture_or_task_name
  written = tmp_path / 'inference_eval' / f'{name}-metrics.jsonl'
  found = json.loads(written.read_text().splitlines()[-1])
  made, batch = experiment.current(), _batch(_TEXT)
  params = export.load_params(checkpoint, 'prefix_lm')[1]
  of = made.trainable.layouts[_TEXT]
  _, metrics = made.trainable.validation_loss(params, batch, None, _TEXT)
  assert found['step'] == 4
  np.testing.assert_allclose(
    found['perplexity/visual'],
    np.exp(float(metrics['loss/visual'])),
    rtol=1e-4,
  )
  filled = decode.generate(
    made.trainable.module, params, of, batch['tokens'], batch['visible'],
    config=greedy,
  )  # fmt: skip
  free = np.zeros(of.length, bool)
  for run in of.target_runs:
    free[run.start : run.stop] = run.range.size > 1
  hits = (filled == batch['tokens'])[:, free].mean()
  assert found['token_accuracy'] == pytest.approx(hits, abs=1e-6)


def test_a_run_of_t5x_generates(token_set, tmp_path):
  run_dir = tmp_path / 'run'
  runs.train_t5x(token_set, run_dir, STEPS=4)
  opened = generator.Generator.load(run_dir)
  found = opened.generate(
    _TEXT, {'text': ['ab']}, num_samples=2, decode_signals=False
  )
  assert found.tokens_BL.shape == (2, found.layout.length)
  for row in found.tokens_BL:
    found.layout.parse(row)
  # The newest step, or any that is there.
  assert checkpoint_choice.find(run_dir).step == 4
  earlier = generator.Generator.load(run_dir, step=0)
  assert not np.array_equal(
    earlier.params['final_norm']['scale'], opened.params['final_norm']['scale']
  )
