"""The bench of super-resolution, with a model that compiles in a moment."""

import pytest

from videopoet_jax.jobs import bench
from videopoet_jax.models.super_resolution import presets


def test_sampling_of_a_stage_is_timed(monkeypatch):
  preset = presets.preset

  def small(name, **settings):
    return preset(
      name, width=16, num_heads=2, head_dim=8, mlp_dim=16, low_input=0,
      text_encoder_layers=0, **settings,
    )  # fmt: skip

  monkeypatch.setattr(presets, 'preset', small)
  figures = bench.bench(what='super_resolution', rounds=1, batch=8)
  figures = figures['super_resolution']
  assert figures['batch'] == 2 and figures['steps'] == 24
  assert figures['passes'] == 2
  assert 0 < figures['of_floor'] < 2
  assert figures['tokens_per_second'] == pytest.approx(
    2 * 320 / figures['seconds']
  )
