"""`videopoet plan`: what its flags mean, and what they refuse."""

import subprocess
import sys

import pytest

from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.core import tasks
from videopoet_jax.jobs import plan
from videopoet_jax.parallel import mesh
from videopoet_jax.planning import generation_plan
from videopoet_jax.planning import request
from videopoet_jax.planning import topologies


def test_flags_become_plans():
  plans = request.specify(
    model='1b',
    topology='v5e:2x4',
    layouts=['text_to_video/17x128x128', 'unconditional/17x128x128'],
    remat='dots',
    attention='xla',
    mesh='tensor=2',
    bindings=['prefix_lm_preset.visual_output = "softmax"'],
    optimizer='adafactor',
  )
  assert [p.layout for p in plans] == [
    'text_to_video/17x128x128', 'unconditional/17x128x128',
  ]  # fmt: skip
  first = plans[0]
  assert (first.config.width, first.config.remat) == (2048, 'dots')
  assert first.mesh_sizes()['tensor'] == 2
  assert first.optimizer.name == 'adafactor'


def test_all_is_every_layout_of_a_clip_once():
  space = tasks.LayoutSpace()
  clips = ['17x128x128', '41x224x128']
  names = request.layout_names(
    space, ['all', 'text_to_video/17x128x128'], clips
  )
  assert len(names) == len(set(names))
  assert set(space.standard_names(41, 224, 128)) <= set(names)


def test_longest_is_one_layout_of_each_clip():
  space = tasks.LayoutSpace()
  names = request.layout_names(space, ['longest'], ['17x128x128', '41x224x128'])
  assert len(names) == 2
  lengths = [space.layout(n).length for n in space.standard_names(41, 224, 128)]
  assert space.layout(names[1]).length == max(lengths)


@pytest.mark.parametrize(
  ('changes', 'says'),
  [
    ({'model': '9b'}, "no model preset '9b'"),
    ({'topology': 'v5p:4x4'}, 'a slice of v5p has 3 dimensions'),
    ({'layouts': ['text_to_movie/17x128x128']}, "no task 'text_to_movie'"),
    ({'layouts': ['all'], 'clips': ['17x128']}, 'is no FRAMESxHEIGHTxWIDTH'),
    ({'remat': 'most'}, r"PrefixLMConfig.remat is 'most' \("),
    ({'mesh': 'fsdp=7'}, 'there are 64: set for example'),
    ({'batch_per_chip': 0.3}, 'global batch of 19.2 sequences'),
    ({'optimizer': 'sgd'}, "no optimizer 'sgd'"),
    ({'bindings': ['MeshConfig.data = 2']}, '--gin.MeshConfig.data: a plan'),
    ({'bindings': ['prefix_lm_preset.width = four']}, 'not a Python value'),
    ({'bindings': ['OptimizerConfig.beta = 1']}, "no field 'beta'"),
    ({'bindings': ['OptimizerConfig.beta1 = "x"']}, "beta1 is 'x'; expected a"),
    ({'bindings': ['prefix_lm_preset.width = 1.5']}, 'width is 1.5; expected'),
  ],
)
def test_what_does_not_go_together_is_one_error(changes, says):
  with pytest.raises(errors.UserError, match=says):
    request.specify(**changes)


def test_a_search_tries_a_plane_of_a_torus_of_three_dimensions():
  found = request.search_meshes(topologies.parse('v5p:4x4x8', 2))
  assert mesh.MeshConfig(data=8, fsdp=-1, slices=2) in found
  flat = request.search_meshes(topologies.parse('v5e:16x16'))
  assert {m.data for m in flat} == {1}
  given = request.search_meshes(topologies.parse('v5e:16x16'), ['tensor=8'])
  assert given == [mesh.MeshConfig(data=1, fsdp=-1, tensor=8)]


def test_a_wrong_topology_ends_with_status_2(capsys):
  assert entry.run(plan.main, ['--topology', 'v5p']) == 2
  assert '--topology' in capsys.readouterr().err


def test_help_needs_neither_jax_nor_tensorflow():
  code = (
    'import sys; from videopoet_jax.jobs import plan; '
    'sys.exit("jax" in sys.modules or "tensorflow" in sys.modules)'
  )
  run = subprocess.run([sys.executable, '-c', code], capture_output=True)
  assert run.returncode == 0, run.stderr


def test_stages_of_super_resolution_are_plans():
  (stage,) = request.specify(
    model='sr_stage1',
    topology='v5p:2x2x1',
    remat='minimal',
    bindings=['super_resolution_preset.num_blocks = 2'],
  )
  assert stage.layout == 'super_resolution/17x448x256'
  assert (stage.config.remat, stage.config.num_blocks) == ('minimal', 2)
  assert stage.subject.positions == 5 * 56 * 32
  with pytest.raises(errors.ConfigError, match='give --layout'):
    request.specify(model='sr_1b')
  with pytest.raises(errors.ConfigError, match='is made by super_resolution'):
    request.specify(model='sr_1b', bindings=['prefix_lm_preset.width = 64'])
  with pytest.raises(errors.LayoutError, match='does not divide'):
    request.specify(model='sr_1b', layouts=['super_resolution/17x384x256'])


def test_programs_are_their_models():
  (stage,) = request.specify(model='sr_stage2', topology='v5p:2x2x1')
  found = generation_plan.generation(stage, 'sample', model='sr_stage2')
  assert 'in 24 steps of 3 passes' in found.name
  assert found.flops == 4 * 3 * 24 * found.plan.subject.work().forward
  with pytest.raises(errors.ConfigError, match='give --program sample'):
    generation_plan.generation(stage, 'decode')
