"""An evaluation whose checkpoint and results lie in a bucket.

As in `bucket_test`: another process, the libraries' own support of `gs://`, and
the bucket of `tests.fake_gcs`.
"""

import pytest

from tests import fake_gcs

pytest.importorskip('gcsfs', reason='gcsfs is not installed (the gcs extra)')
pytestmark = pytest.mark.slow

_WORK = """
import json, pathlib, sys
from etils import epath
from tests.evaluation import tiny_protocol
from tests.inference import folder as folder_lib
from videopoet_jax.core import storage
from videopoet_jax.evaluation import results
from videopoet_jax.evaluation import sample_store
from videopoet_jax.experiments import evaluate

local = pathlib.Path(sys.argv[1])
bucket = epath.Path('gs://bucket')
protocol = tiny_protocol.make(tiny_protocol.task(samples=6))
said = {}

folder_lib.write(local / 'lm')
storage.copy_folder(local / 'lm', bucket / 'lm', 'checkpoint.json')


def run(folder):
  lines = []
  found = evaluate.evaluate(
    str(folder / 'lm'), protocol, str(folder / 'scores'),
    batch_size=4, best='psnr/one', log=lines.append,
  ).results
  return lines, [
    [r.metric, r.task, r.value, r.low, r.high, r.samples] for r in found
  ]


_, here = run(local)
said['first'], there = run(bucket)
said['same'] = here == there
said['again'], again = run(bucket)
said['same_again'] = again == there
# What a kill before the last files leaves.
(bucket / 'scores' / 'results.jsonl').unlink()
(bucket / 'scores' / 'report.html').unlink()
said['same_after_a_loss'] = run(bucket)[1] == there
said['read'] = len(results.read(bucket / 'scores'))
print('RESULT ' + json.dumps(said))
"""


@pytest.fixture(scope='module', name='said')
def _said(tmp_path_factory):
  folder = tmp_path_factory.mktemp('local')
  said, names = fake_gcs.run(_WORK, str(folder))
  return {**said, 'names': names}


def test_figures_are_those_on_a_disk(said):
  assert said['same'] and said['read'] == 1


def test_it_goes_on_where_it_was(said):
  assert said['same_again'] and said['same_after_a_loss']
  assert len(said['again']) < len(said['first'])


def test_the_bucket_holds_what_a_disk_would(said):
  names = said['names']
  for name in ('results.jsonl', 'protocol.json', 'report.html'):
    assert f'bucket/scores/{name}' in names
  assert any(n.startswith('bucket/scores/best/') for n in names)
  assert any(n.endswith('/values.npz') for n in names)
  assert not [n for n in names if '.partial' in n]
