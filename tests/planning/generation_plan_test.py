"""Calls that generate, planned on the fake devices."""

import json

import jax
import pytest

from tests.models.prefix_lm import small as small_lm
from tests.models.super_resolution import small
from videopoet_jax.core import specs
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.planning import generation_plan
from videopoet_jax.planning import planner as planner_lib
from videopoet_jax.planning import specification
from videopoet_jax.planning import subjects
from videopoet_jax.planning import topologies


def _plan(**changes):
  return specification.Specification(
    topology=topologies.parse('v5e:2x4'),
    mesh=mesh_lib.MeshConfig(data=8),
    batch_per_chip=1.0,
    **changes,
  )


def _estimate(generation):
  planner = planner_lib.Planner(devices=jax.devices(), log=lambda _: None)
  return planner.generation(generation)


def test_a_loop_is_its_steps_times_its_passes():
  plan = _plan(
    config=small.config(low_input=0, text_encoder_layers=0, attention='xla'),
    space=subjects.Grids(
      specs.VisualSpec(codebook_size=small.CODES),
      specs.VisualSpec(codebook_size=small.LOW_CODES),
    ),
    layout='super_resolution/5x32x32',
  )
  found = _estimate(
    generation_plan.generation(plan, 'sample', model='sr_stage2', steps=5)
  )
  assert found.tally.unknown_loops == 0
  work = plan.subject.work().forward
  assert found.generation.flops == 8 * 3 * 5 * work
  # jax 0.10 folds away 4 % of so small a program.
  assert found.tally.flops * 8 == pytest.approx(
    found.generation.flops, rel=0.05
  )
  shown = json.loads(json.dumps(found.to_json()))
  assert shown['fits'] and shown['steps'] == 5 and shown['batch'] == 8
  assert shown['floor_seconds'] == pytest.approx(
    found.generation.flops / (8 * plan.topology.chip.peak_flops)
  )
  assert '5 steps' in found.text()


def test_decoding_reads_every_position_once():
  plan = _plan(
    config=small_lm.config(
      cell_inputs=(), text_encoder_layers=0, attention='xla'
    ),
    space=small_lm.SPACE,
    layout=f'text_to_video/{small_lm.SIZE}',
  )
  found = _estimate(generation_plan.generation(plan, 'decode'))
  assert found.tally.unknown_loops == 0
  # Keys that are not yet written are multiplied too, and so are the branches
  # of positions with another vocabulary: more than the model's, not double.
  compiled = found.tally.flops * 8
  assert found.generation.flops < 1.1 * compiled < 2 * found.generation.flops
