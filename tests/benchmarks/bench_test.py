"""The bench times in turn, and writes what it prints."""

import json
import sys
import time

import pytest

from videopoet_jax.benchmarks import bench
from videopoet_jax.benchmarks import cost
from videopoet_jax.benchmarks import visual_tokenizer
from videopoet_jax.core import errors
from videopoet_jax.jobs import bench as bench_job
from videopoet_jax.models.prefix_lm import presets


def test_alternate_calls_each_in_turn():
  calls = []
  times = cost.alternate(
    {'a': lambda: calls.append('a'), 'b': lambda: calls.append('b')}, rounds=3
  )
  assert ''.join(calls) == 'aabb' + 'ab' * 3
  assert all(time['seconds'] >= 0 for time in times.values())


def test_floor_does_the_work_it_states():
  run = cost.matrix_floor(4, 8, 16)
  assert run().shape == (4, 8)
  assert cost.floor_flops(4, 8, 16) == 2 * 2 * 4 * 8 * 16 * 8


def test_random_tokens_fit_the_layout():
  layout = bench.size('tiny').layout('audio_video_continuation')
  parsed = layout.parse(cost.random_tokens(layout, 3))
  assert all(len(ids) == 3 for ids in parsed.values())


@pytest.fixture
def small_model(monkeypatch):
  """A preset that compiles in a moment, in the place of `tiny`."""
  small = presets.preset(
    'tiny', num_layers=1, width=32, num_heads=2, num_kv_heads=2, mlp_dim=32,
    text_encoder_layers=0, cell_inputs=(),
  )  # fmt: skip
  monkeypatch.setattr(presets, 'preset', lambda name: small)


@pytest.mark.parametrize(
  ('what', 'size'),
  [
    ('train_step', ['--tokens_per_batch', '200']),
    ('decode', ['--batch', '1']),
  ],
)
def test_json_of_the_command_line(what, size, small_model, tmp_path, capsys):
  path = tmp_path / 'bench_job.json'
  flags = ['--what', what, '--rounds', '1', *size, '--json', str(path)]
  assert bench_job.main(flags) == 0
  written = json.loads(path.read_text())
  assert written == json.loads(capsys.readouterr().out)
  assert written[what]['tokens_per_second'] > 0
  # How near the floor is a matter of the machine; not a test.
  assert written[what]['of_floor'] > 0


def test_tokenizer_bench_times_all_four():
  metrics = bench.bench(what='tokenizers', rounds=1, batch=1)['tokenizers']
  assert len(metrics) == 4
  assert all(part['clips_per_second'] > 0 for part in metrics.values())


def test_data_bench_reads_batches():
  metrics = bench.bench(what='data', rounds=1, tokens_per_batch=400)['data']
  assert metrics['token_batches']['tokens_per_second'] > 0
  assert metrics['shapes']['clips_per_second'] > 0


def test_visual_tokenizer_bench_says_why_the_peer_is_skipped(monkeypatch):
  monkeypatch.setitem(sys.modules, 'magvit2_pytorch', None)
  metrics = visual_tokenizer.visual_tokenizer(1, batch=1, clip=(5, 16, 16))
  assert metrics['train_step']['seconds'] > 0
  assert metrics['decode']['seconds'] > 0
  assert 'magvit2_pytorch' in metrics['peer_skipped']
  assert 'peer' not in metrics['parameters']


def test_visual_tokenizer_bench_compares_with_the_peer(monkeypatch):
  def peer(video_BTHWC):
    runs = {name: lambda: time.sleep(0.01) for name in ('train_step', 'decode')}
    return runs, 7

  monkeypatch.setattr(visual_tokenizer, '_peer', peer)
  metrics = visual_tokenizer.visual_tokenizer(1, batch=1, clip=(5, 16, 16))
  assert metrics['parameters']['peer'] == 7
  for name in ('train_step', 'decode'):
    ratio = metrics[name]['seconds'] / metrics[f'peer_{name}']['seconds']
    assert metrics[name]['of_peer'] == ratio


def test_unknown_size_names_the_known():
  with pytest.raises(errors.ConfigError, match='tiny'):
    bench.bench(size_name='tinny')


def test_no_rounds_is_the_users_error():
  with pytest.raises(errors.ConfigError, match='--rounds'):
    bench_job.main(['--rounds', '0'])
