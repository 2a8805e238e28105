"""The bench of a plain decoder: the shape it states, and that it runs."""

import dataclasses
import math

import jax
import pytest

from videopoet_jax.benchmarks import bench
from videopoet_jax.benchmarks import decoder
from videopoet_jax.parallel import rules

# The two kinds of tables, the blocks and their norms of the decoder that
# docs/maxtext_cpu.md states; rows for roles are the one thing it has more.
_PARAMETERS = (
  2 * 8192 * 256 + 4 * (4 * 256 * 256 + 3 * 256 * 1024 + 2 * 256) + 256
)


@pytest.fixture
def trainables():
  return decoder.trainables()


@pytest.mark.parametrize('name', ['every_position', 'targets'])
def test_parameters_are_those_of_a_plain_decoder(name, trainables):
  boxed = jax.eval_shape(trainables[name].init, jax.random.key(0))
  found = sum(
    math.prod(leaf.shape) for leaf in jax.tree.leaves(rules.unbox(boxed))
  )
  assert found == pytest.approx(_PARAMETERS, rel=1e-3)


@pytest.mark.parametrize(
  'name, with_loss',
  [('every_position', 512), ('targets', 450), ('targets_admitted_ids', 448)],
)
def test_all_are_run_on_512_positions(name, with_loss, trainables):
  (layout,) = trainables[name].layouts.values()
  assert layout.input_length == 512
  assert decoder.positions_with_loss(trainables[name]) == with_loss
  assert layout.vocabulary.size == 8192


def test_bench_times_the_three_losses(monkeypatch):
  small = dataclasses.replace(
    decoder.CONFIG, num_layers=1, width=16, num_heads=1, num_kv_heads=1,
    head_dim=8, mlp_dim=16, scan_layers=False,
  )  # fmt: skip
  step = decoder.decoder_step
  monkeypatch.setattr(
    decoder, 'decoder_step', lambda rounds: step(rounds, 1, small)
  )
  metrics = bench.bench(what='decoder_step', rounds=1)['decoder_step']
  assert list(metrics) == list(decoder.trainables())
  work = [part['model_flops'] for part in metrics.values()]
  assert work == sorted(work, reverse=True) and len(set(work)) == 3
  for part in metrics.values():
    rate = part['batch'] * part['positions'] / part['seconds']
    assert part['tokens_per_second'] == pytest.approx(rate)
