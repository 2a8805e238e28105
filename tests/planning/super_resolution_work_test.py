"""The work of super-resolution, counted apart and against compiled programs."""

import dataclasses
import math

import jax
import pytest

from tests.models.super_resolution import small
from videopoet_jax.core import specs
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules
from videopoet_jax.planning import planner as planner_lib
from videopoet_jax.planning import specification
from videopoet_jax.planning import subjects
from videopoet_jax.planning import super_resolution_work as work
from videopoet_jax.planning import topologies

_GRIDS = subjects.Grids(
  specs.VisualSpec(codebook_size=small.CODES),
  specs.VisualSpec(codebook_size=small.LOW_CODES),
)


@pytest.mark.parametrize('conditioning', ['cross', 'joint'])
def test_work_compiled_is_the_models(conditioning):
  plan = specification.Specification(
    # A convolution at a frame's edge counts what lies outside, too.
    config=small.config(
      conditioning=conditioning, low_input=1, text_encoder_layers=0,
      attention='xla',
    ),
    space=_GRIDS,
    layout='super_resolution/5x32x32',
    topology=topologies.parse('v5e:2x4'),
    mesh=mesh_lib.MeshConfig(data=8),
    batch_per_chip=2.0,
  )  # fmt: skip
  found = planner_lib.Planner(devices=jax.devices(), log=lambda _: None).plan(
    plan
  )
  assert found.tally is not None
  # Ids' embeddings have no gradient towards the ids.
  inputs = plan.batch * plan.subject.work().inputs
  assert found.tally.flops * 8 == pytest.approx(
    found.model_flops - inputs, rel=0.03
  )


def test_matrices_are_those_of_the_parameters():
  config = presets.preset('sr_1b')
  grid = (5, 56, 32)
  shapes = jax.eval_shape(
    lambda key: subjects.of(
      config, subjects.Grids(), 'super_resolution/17x448x256'
    ).trainable().init(key),
    jax.random.key(0),
  )  # fmt: skip
  stack = rules.unbox(shapes)['stack']
  matrices = {
    jax.tree_util.keystr(path): math.prod(leaf.shape)
    for path, leaf in jax.tree_util.tree_leaves_with_path(stack)
    if 'norm' not in jax.tree_util.keystr(path)
  }
  rows = {'low_attention': 5 * 28 * 16, 'text_attention': 65}
  expected = 0.0
  for name, number in matrices.items():
    meets = math.prod(grid)
    for source, tokens in rows.items():
      if source in name and ('key' in name or 'value' in name):
        meets = tokens
    expected += 2.0 * number * meets
  found = work.of_grid(config, grid, 2**18, 2**18)
  assert found.blocks == pytest.approx(expected, rel=1e-6)


def test_cost_is_linear_in_tokens_at_fixed_windows():
  config = dataclasses.replace(
    presets.preset('sr_1b'), windows=((1, 28, 4), (1, 8, 16), (5, 8, 8))
  )
  once, four, sixteen = (
    work.of_grid(config, (5, 56 * n, 32 * n), 2**18, 2**18).forward
    for n in (1, 2, 4)
  )
  # Text alone does not grow.
  assert four == pytest.approx(4 * once, rel=0.01)
  assert sixteen == pytest.approx(16 * once, rel=0.01)
  whole = dataclasses.replace(config, windows=((5, 0, 0),) * 3)
  full = [
    work.of_grid(whole, (5, 56 * n, 32 * n), 2**18, 2**18).attention
    for n in (1, 4)
  ]
  assert full[1] > 200 * full[0]
