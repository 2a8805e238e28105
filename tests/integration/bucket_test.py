"""Data, gin files, checkpoints, metrics and results in a bucket, as on a pod.

Another process works on `gs://` paths by the libraries that a pod uses (gcsfs,
TensorStore, ArrayRecord's own client), against the bucket of `tests.fake_gcs`.
TensorFlow's client cannot be pointed at it: what goes by TensorFlow alone, the
TensorBoard files, is not tried here.
"""

import pytest

from tests import fake_gcs

pytest.importorskip('gcsfs', reason='gcsfs is not installed (the gcs extra)')
pytestmark = pytest.mark.slow

_WORK = """
import json, pathlib, sys
import numpy as np
from etils import epath
import jax
from tests.evaluation import tiny_protocol
from tests.inference import folder as folder_lib
from tests.preparation import token_set
from videopoet_jax.checkpoints import export
from videopoet_jax.checkpoints import manager
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.evaluation import results
from videopoet_jax.experiments import evaluate
from videopoet_jax.experiments import train
from videopoet_jax.training import metrics

local = pathlib.Path(sys.argv[1])
bucket = epath.Path('gs://bucket')
said = {}

for folder in (local, bucket):
  token_set.write(folder / 'tokens')
try:
  token_set.write(bucket / 'tokens')
except errors.DataError as error:
  said['again'] = str(error)
(bucket / 'short.gin').write_text('LoopConfig.save_every = 2\\n')
(local / 'short.gin').write_text('LoopConfig.save_every = 2\\n')


def run(folder, steps, name='lm'):
  lines = []
  values = {
    'TOKENS': str(folder / 'tokens'), 'VISUAL': '', 'AUDIO': '',
    'STEPS': steps, 'load_tasks.tasks': ['unconditional'],
    'prefix_lm.tokens_per_batch': 256, 'LoopConfig.tensorboard': False,
    'LoopConfig.log_every': 1, 'LoopConfig.validate_every': 0,
  }
  experiment = train.from_gin(
    ['gin/runs/shapes_prefix_lm.gin', 'gin/local_tiny.gin',
     str(folder / 'short.gin')],
    [f'{k} = {v!r}' for k, v in values.items()],
  )
  train.train(experiment, str(folder / name), log=lines.append)
  losses = {r['step']: r['loss'] for r in metrics.read(
    folder / name / 'metrics.jsonl') if 'loss' in r}
  return lines, losses


run(bucket, 2)
said['complete'] = manager.complete_steps(bucket / 'lm')
said['resumed'], remote = run(bucket, 4)
run(local, 2)
_, here = run(local, 4)
said['same_losses'] = remote == here and sorted(here) == [1, 2, 3, 4]
_, a = export.load_params(bucket / 'lm', 'prefix_lm')
_, b = export.load_params(local / 'lm', 'prefix_lm')
said['same_params'] = all(
  np.array_equal(x, y)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))

# A save that a crash cut short has no mark that it is whole.
(bucket / 'lm' / 'steps' / '4' / 'commit_success.txt').unlink()
said['unfinished'] = manager.unfinished_steps(bucket / 'lm')
said['after_a_cut_save'], again = run(bucket, 4)
said['same_again'] = again == remote

# One that was whole and cannot be read: out of the way, and kept.
for inner in sorted((bucket / 'lm' / 'steps' / '4' / 'params').iterdir()):
  if inner.is_dir():
    inner.rmtree()
  else:
    inner.write_text('damaged')
said['after_damage'], again = run(bucket, 4)
said['same_after_damage'] = again == remote

# An evaluation whose checkpoint and results lie in the bucket.
local, bucket = local / 'evaluated', bucket / 'evaluated'
protocol = tiny_protocol.make(tiny_protocol.task(samples=6))
found = {}

local.mkdir()
folder_lib.write(local / 'lm')
storage.copy_folder(local / 'lm', bucket / 'lm', 'checkpoint.json')


def score(folder):
  lines = []
  outcome = evaluate.evaluate(
    str(folder / 'lm'), protocol, str(folder / 'scores'),
    batch_size=4, best='psnr/one', log=lines.append,
  )
  return lines, [
    [r.metric, r.task, r.value, r.low, r.high, r.samples]
    for r in outcome.results
  ]


_, here = score(local)
found['first'], there = score(bucket)
found['same'] = here == there
found['again'], again = score(bucket)
found['same_again'] = again == there
# What a kill before the last files leaves.
(bucket / 'scores' / 'results.jsonl').unlink()
(bucket / 'scores' / 'report.html').unlink()
found['same_after_a_loss'] = score(bucket)[1] == there
found['read'] = len(results.read(bucket / 'scores'))

said['evaluated'] = found
print('RESULT ' + json.dumps(said))
"""


@pytest.fixture(scope='module', name='said')
def _said(tmp_path_factory):
  folder = tmp_path_factory.mktemp('local')
  said, names = fake_gcs.run(_WORK, str(folder))
  return {**said, 'names': names}


def test_a_run_in_a_bucket_is_the_run_on_a_disk(said):
  assert said['same_losses']
  assert said['same_params']


def test_it_goes_on_from_its_newest_checkpoint(said):
  assert said['complete'] == [2]
  assert any('after step 2' in line for line in said['resumed'])


def test_a_save_cut_short_is_named_and_done_again(said):
  assert said['unfinished'] == ['4']
  assert any('removing 4' in line for line in said['after_a_cut_save'])
  assert any('after step 2' in line for line in said['after_a_cut_save'])
  assert said['same_again']


def test_a_damaged_step_is_moved_and_done_again(said):
  lines = said['after_damage']
  assert any(
    'skipping' in line and '4: it is damaged' in line for line in lines
  )
  assert any('after step 2' in line for line in lines)
  assert said['same_after_damage']
  kept = [
    n for n in said['names'] if n.startswith('bucket/lm/damaged_steps/4/')
  ]
  assert 'bucket/lm/damaged_steps/4/commit_success.txt' in kept
  assert any('/optimizer/' in name for name in kept)


def test_the_bucket_holds_what_a_disk_would(said):
  names = said['names']
  for name in ('config.gin', 'checkpoint.json', 'metrics.jsonl'):
    assert f'bucket/lm/{name}' in names
  assert any(n.startswith('bucket/lm/steps/4/params/') for n in names)
  assert 'bucket/lm/text/checkpoint.json' in names
  assert any(n.endswith('.array_record-00000-of-00001') for n in names)
  # No file of a first attempt or of a probe stays behind.
  assert not [n for n in names if 'partial' in n or '.probe' in n]


def test_a_data_set_there_is_not_written_over(said):
  assert 'gs://bucket/tokens exists already' in said['again']


def test_metrics_are_those_on_a_disk(said):
  assert said['evaluated']['same'] and said['evaluated']['read'] == 1


def test_an_evaluation_resumes(said):
  assert (
    said['evaluated']['same_again'] and said['evaluated']['same_after_a_loss']
  )
  assert len(said['evaluated']['again']) < len(said['evaluated']['first'])


def test_the_bucket_holds_the_results(said):
  names = said['names']
  for name in ('results.jsonl', 'protocol.json', 'report.html'):
    assert f'bucket/evaluated/scores/{name}' in names
  assert any(n.startswith('bucket/evaluated/scores/best/') for n in names)
  assert any(n.endswith('/values.npz') for n in names)
  assert not [n for n in names if '.partial' in n and '/evaluated/' in n]
