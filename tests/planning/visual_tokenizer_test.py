"""The visual tokenizer in plans, compiled for the fake devices."""

import dataclasses
import json

import jax
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.core import errors
from videopoet_jax.jobs import plan as job
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.planning import generation_plan
from videopoet_jax.planning import outcome
from videopoet_jax.planning import planner as planner_lib
from videopoet_jax.planning import request
from videopoet_jax.planning import specification
from videopoet_jax.planning import topologies
from videopoet_jax.planning import visual_tokenizer

_CLIP = '5x64x16'


def _plan(convolution='native', **changes):
  return specification.Specification(
    **{
      'config': configs.CONVOLUTIONAL,
      'space': visual_tokenizer.Clips(),
      'layout': visual_tokenizer.name_of(_CLIP, convolution),
      'topology': topologies.parse('v5e:2x4'),
      'mesh': mesh_lib.MeshConfig(data=8),
    }
    | changes
  )


def _planner():
  return planner_lib.Planner(devices=jax.devices(), log=lambda _: None)


def test_a_train_step_compiles_to_the_work_of_its_trace():
  found = _planner().plan(_plan())
  assert found.tally is not None
  assert found.tally.unknown_loops == 0
  # Three forward passes, but for the gradient towards pixels.
  pixels = visual_tokenizer.of(
    configs.CONVOLUTIONAL, visual_tokenizer.Clips(), _plan().layout
  ).method_work('encode')
  assert 0 < pixels < found.model_flops / 8
  assert found.tally.flops * 8 == pytest.approx(found.model_flops, rel=0.1)
  assert found.memory['optimizer_bytes'] == pytest.approx(
    2 * found.memory['parameters_bytes'], rel=0.05
  )
  shown = json.loads(json.dumps(found.to_json()))
  assert shown['remat'] == 'none'


@pytest.mark.parametrize('program', ['encode', 'decode'])
def test_programs_compile_to_the_work_of_their_traces(program):
  found = _planner().generation(generation_plan.generation(_plan(), program))
  assert found.tally.flops * 8 == pytest.approx(
    found.generation.flops, rel=0.02
  )
  assert found.fits and found.generation.steps == 1


def test_chips_that_share_a_frame_share_its_work():
  one = _planner().generation(generation_plan.generation(_plan(), 'decode'))
  plan = _plan(
    mesh=mesh_lib.MeshConfig(data=1, sequence=8), batch_per_chip=1 / 8
  )
  # Latent rows 8, one a chip.
  shared = _planner().generation(generation_plan.generation(plan, 'decode'))
  assert plan.batch == 1
  assert shared.tally.collectives['collective-permute', 'ici'] > 0
  assert shared.tally.collectives['all-gather', 'ici'] == 0
  # One clip by eight chips, where it was one each; halos add to it.
  assert shared.tally.flops < 0.5 * one.tally.flops


def test_work_does_not_depend_on_the_way_of_convolutions():
  ways = [
    dataclasses.replace(
      _plan().subject, name=visual_tokenizer.name_of(_CLIP, way)
    ).work()
    for way in visual_tokenizer.CONVOLUTIONS
  ]
  assert ways[0] == ways[1]


def test_the_faster_way_is_marked():
  rows = [
    ('visual_tokenizer/17x128x128/native', 2.0, {}),
    ('visual_tokenizer/17x128x128/taps', 1.0, {}),
    ('visual_tokenizer/17x64x64/native', 1.0, {}),
    ('text_to_video/17x128x128', 1.0, {}),
  ]
  assert outcome.compare(rows) == [
    "17x128x128: convolution 'taps' is the fastest, 0.50 of the time of "
    "'native'"
  ]
  assert [values.get('fastest') for _, _, values in rows] == [
    False, True, None, None,
  ]  # fmt: skip


def test_a_request_plans_both_ways_or_the_one_that_is_bound():
  both = request.specify(model='visual_tokenizer', clips=['17x128x128'])
  assert [plan.layout for plan in both] == [
    'visual_tokenizer/17x128x128/native', 'visual_tokenizer/17x128x128/taps',
  ]  # fmt: skip
  assert [plan.subject.config.convolution for plan in both] == [
    'native', 'taps',
  ]  # fmt: skip
  assert both[0].config.dtype == 'bfloat16'
  (one,) = request.specify(
    model='visual_tokenizer',
    clips=['17x128x128'],
    bindings=[
      "VisualTokenizerConfig.convolution = 'taps'",
      'VisualTokenizerRecipe.mse_weight = 3.0',
    ],
  )
  assert one.subject.config.convolution == 'taps'
  assert one.space.recipe.mse_weight == 3.0


def test_the_papers_tokenizer_has_its_size():
  (plan, _) = request.specify(model='visual_tokenizer', clips=['17x128x128'])
  sizes = {
    part: sum(leaf.size for leaf in jax.tree.leaves(tree))
    for part, tree in plan.subject.parameters().items()
  }
  assert sizes['encoder'] == pytest.approx(145e6, rel=0.01)
  assert sizes['decoder'] == pytest.approx(226e6, rel=0.01)
  assert plan.subject.positions == 5 * 16 * 16


@pytest.mark.parametrize(
  ('changes', 'says'),
  [
    ({'clips': ['17x100x128']}, 'stride'),
    ({'remat': 'full'}, '--remat: the model'),
    ({'layouts': ['all']}, 'takes clips; give --clip'),
    (
      {'bindings': ['prefix_lm_preset.width = 64']},
      'give --gin.VisualTokenizerConfig.FIELD',
    ),
    (
      {'bindings': ['VisualTokenizerConfig.chanels = 64']},
      "no field 'chanels'",
    ),
  ],
)
def test_what_the_tokenizer_does_not_take_is_one_error(changes, says):
  with pytest.raises(errors.UserError, match=says):
    request.specify(
      **{'model': 'visual_tokenizer', 'clips': ['17x128x128']} | changes
    )


def test_flags_that_cannot_act_are_refused():
  for flags in (['--search'], ['--remat', 'full'], ['--steps', '4']):
    with pytest.raises(errors.ConfigError, match='cannot act'):
      job.main(['--model', 'visual_tokenizer', *flags])
  with pytest.raises(errors.ConfigError, match='give --program encode or'):
    generation_plan.generation(_plan(), 'sample')
