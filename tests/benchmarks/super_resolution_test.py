"""The bench of super-resolution, with a model that compiles in a moment."""

import jax
import pytest

from videopoet_jax.benchmarks import bench
from videopoet_jax.benchmarks import cost
from videopoet_jax.core import specs
from videopoet_jax.core import upscaling
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.planning import super_resolution_work

_CODES = 4096
_SECONDS = {'model': 2.0, 'floor': 0.5}


def test_sampling_of_a_stage_is_timed(monkeypatch):
  preset = presets.preset
  config = None

  def small(name, **settings):
    nonlocal config
    config = preset(
      name, width=16, num_heads=2, head_dim=8, mlp_dim=16, low_input=0,
      text_encoder_layers=0, **settings,
    )  # fmt: skip
    return config

  ran = []

  def told(functions, rounds):
    assert rounds == 1
    # Both really run; how long they take is the machine's affair.
    for name, function in functions.items():
      jax.block_until_ready(function())
      ran.append(name)
    return {name: {'seconds': _SECONDS[name], 'spread': 0.0} for name in ran}

  monkeypatch.setattr(presets, 'preset', small)
  monkeypatch.setattr(cost, 'alternate', told)
  metrics = bench.bench(what='super_resolution', rounds=1, batch=8)
  metrics = metrics['super_resolution']
  assert ran == ['model', 'floor']
  # A quarter of the batch; with text and without it at each step.
  assert (metrics['batch'], metrics['steps'], metrics['passes']) == (2, 24, 2)
  assert metrics['tokens_per_second'] == 2 * 320 / 2.0
  assert metrics['clips_per_second'] == 2 / 2.0
  grid = upscaling.Upscaling.parse(metrics['unit']).latent(
    specs.VisualSpec(_CODES)
  )
  work = super_resolution_work.of_grid(config, grid, _CODES, _CODES).forward
  rate = 24 * 2 * 2 * work / 2.0
  assert metrics['model_flops_per_second'] == pytest.approx(rate)
  # The floor: 8 passes of two products, each of 2 FLOPs a term, over 640 rows.
  floor = 8 * 2 * 2 * 640 * 16 * 16 / 0.5
  assert metrics['of_floor'] == pytest.approx(rate / floor)
