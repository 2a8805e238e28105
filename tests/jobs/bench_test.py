"""The bench counts what XLA counts, and writes what it prints."""

import json

import jax
import jax.numpy as jnp
import pytest

from videopoet_jax.core import errors
from videopoet_jax.jobs import bench
from videopoet_jax.jobs import bench_cost
from videopoet_jax.models.prefix_lm import model
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.parallel import rules


def test_forward_flops_are_those_that_xla_counts():
  chosen = bench.size('tiny')
  layout = chosen.layout('unconditional')
  # XLA counts the body of a loop once, hence no scan.
  config = presets.preset(
    'tiny', scan_layers=False, visual_output='softmax', text_encoder_layers=0,
    cell_inputs=(), visual_input='table',
  )  # fmt: skip
  network = model.PrefixLM(config, chosen.space.vocabulary)
  params = jax.eval_shape(
    lambda rng: rules.unbox(network.init(rng, method='declare')['params']),
    jax.random.key(0),
  )
  tokens_BL = jax.ShapeDtypeStruct((1, layout.length), jnp.int32)
  visible_BL = jax.ShapeDtypeStruct((1, layout.length), bool)

  def forward(params, tokens_BL, visible_BL):
    results = network.apply({'params': params}, tokens_BL, visible_BL, layout)
    return [result.loss_BT for result in results.values()]

  cost = jax.jit(forward).lower(params, tokens_BL, visible_BL).cost_analysis()
  ours = bench_cost.forward_flops(config, layout)
  # Norms, softmax and activations are XLA's part of the difference.
  assert 0.85 < ours / cost['flops'] < 1.02


def test_train_is_three_forwards():
  chosen = bench.size('tiny')
  layout = chosen.layout('text_to_video')
  config = presets.preset('tiny')
  assert bench_cost.train_flops(config, layout) == pytest.approx(
    3 * bench_cost.forward_flops(config, layout)
  )


def test_paper_sizes_count_their_parameters():
  for name, low, high in (
    ('300m', 0.25e9, 0.4e9), ('1b', 0.8e9, 1.3e9), ('8b', 7e9, 9e9)
  ):  # fmt: skip
    assert low < bench_cost.layer_parameters(presets.preset(name)) < high


def test_alternate_calls_each_in_turn():
  calls = []
  times = bench_cost.alternate(
    {'a': lambda: calls.append('a'), 'b': lambda: calls.append('b')}, rounds=3
  )
  assert ''.join(calls) == 'aabb' + 'ab' * 3
  assert all(time['seconds'] >= 0 for time in times.values())


def test_floor_does_the_work_it_states():
  run = bench_cost.matrix_floor(4, 8, 16)
  assert run().shape == (4, 8)
  assert bench_cost.floor_flops(4, 8, 16) == 2 * 2 * 4 * 8 * 16 * 8


def test_random_tokens_fit_the_layout():
  layout = bench.size('tiny').layout('audio_video_continuation')
  parsed = layout.parse(bench_cost.random_tokens(layout, 3))
  assert all(len(ids) == 3 for ids in parsed.values())


@pytest.fixture
def small_model(monkeypatch):
  """A preset that compiles in a moment, in the place of `tiny`."""
  small = presets.preset(
    'tiny', num_layers=1, width=32, num_heads=2, num_kv_heads=2, mlp_dim=32,
    text_encoder_layers=0, cell_inputs=(),
  )  # fmt: skip
  monkeypatch.setattr(presets, 'preset', lambda name: small)


@pytest.mark.parametrize('what', ['train_step', 'decode'])
def test_json_of_the_command_line(what, small_model, tmp_path, capsys):
  path = tmp_path / 'bench.json'
  flags = ['--what', what, '--rounds', '1', '--batch', '1']
  flags += ['--tokens_per_batch', '200', '--json', str(path)]
  assert bench.main(flags) == 0
  written = json.loads(path.read_text())
  assert written == json.loads(capsys.readouterr().out)
  assert written[what]['tokens_per_second'] > 0
  # How near the floor is a matter of the machine; not a test.
  assert written[what]['of_floor'] > 0


def test_tokenizer_bench_times_all_four():
  figures = bench.bench(what='tokenizers', rounds=1, batch=1)['tokenizers']
  assert len(figures) == 4
  assert all(part['clips_per_second'] > 0 for part in figures.values())


def test_data_bench_reads_batches():
  figures = bench.bench(what='data', rounds=1, tokens_per_batch=400)['data']
  assert figures['token_batches']['tokens_per_second'] > 0
  assert figures['shapes']['clips_per_second'] > 0


def test_unknown_size_names_the_known():
  with pytest.raises(errors.ConfigError, match='tiny'):
    bench.bench(size_name='tinny')


def test_no_rounds_is_the_users_error():
  with pytest.raises(errors.ConfigError, match='--rounds'):
    bench.main(['--rounds', '0'])
