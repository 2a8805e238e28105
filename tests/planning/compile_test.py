"""Plans of a small model, compiled for the fake devices."""

import dataclasses
import json

import jax
import pytest

from tests.models.prefix_lm import small
from videopoet_jax.core import errors
from videopoet_jax.models.prefix_lm import presets
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.planning import cache
from videopoet_jax.planning import compile as compile_lib
from videopoet_jax.planning import flops
from videopoet_jax.planning import planner as planner_lib
from videopoet_jax.planning import report
from videopoet_jax.planning import specification
from videopoet_jax.planning import topologies

_LAYOUT = f'text_to_video/{small.SIZE}'
_KEYS = {
  'batch_per_chip', 'remat', 'per_chip', 'model_flops', 'hlo_flops',
  'collective_bytes', 'estimated_cycles_seconds', 'estimated_step_seconds',
  'mfu', 'tokens_per_second',
}  # fmt: skip


def _plan(**changes):
  config = small.config(
    cell_inputs=(),
    text_encoder_layers=0,
    attention='xla',
    **changes.pop('config', {}),
  )
  return specification.Specification(
    **{
      'config': config,
      'space': small.SPACE,
      'layout': _LAYOUT,
      'topology': topologies.parse('v5e:2x4'),
      'mesh': mesh_lib.MeshConfig(data=1, fsdp=8),
      'batch_per_chip': 2.0,
    }
    | changes
  )


def _planner(tmp_path, lines=None):
  log = (lambda line: None) if lines is None else lines.append
  return planner_lib.Planner(directory=tmp_path, devices=jax.devices(), log=log)


@pytest.fixture(scope='module')
def compiled(tmp_path_factory):
  """A folder of programs that the tests share: compiling is what takes time."""
  return tmp_path_factory.mktemp('plans')


def test_json_has_what_it_promises(compiled):
  estimate = _planner(compiled).plan(_plan())
  shown = json.loads(json.dumps(report.to_json([estimate])))
  assert {'fits', 'topology', 'mesh', 'layouts'} <= set(shown)
  assert shown['fits'] is True
  assert shown['topology'] == 'v5e:2x4'
  assert shown['mesh'] == {'data': 1, 'fsdp': 8, 'sequence': 1, 'tensor': 1}
  found = shown['layouts'][_LAYOUT]
  assert _KEYS <= set(found)
  assert {'arguments_bytes', 'temporaries_bytes', 'peak_bytes'} <= set(
    found['per_chip']
  )
  assert set(found['collective_bytes']) == {'ici', 'dcn'}
  assert found['collective_bytes']['ici'] > 0
  assert found['collective_bytes']['dcn'] == 0


def test_work_compiled_is_the_models_and_what_remat_repeats(compiled):
  plan = _plan(
    config={'visual_input': 'table', 'remat': 'none'},
    mesh=mesh_lib.MeshConfig(data=8),
  )
  estimate = _planner(compiled).plan(plan)
  assert estimate.tally is not None
  compiled = estimate.tally.flops * 8
  # The reference attends to every pair, the mask only hides some.
  layout = plan.space.layout(plan.layout)
  length = layout.input_length
  hidden = length**2 - flops.visible_pairs(length, layout.prefix_length)
  squares = 3 * 4.0 * hidden * 4 * 8 * 2 * plan.batch
  assert compiled == pytest.approx(estimate.model_flops + squares, rel=0.02)


def test_memory_is_the_states_and_the_batchs(compiled):
  plan = _plan(mesh=mesh_lib.MeshConfig(data=8))
  estimate = _planner(compiled).plan(plan)
  memory = estimate.memory
  # AdamW: two moments, counters, all in float32.
  assert memory['optimizer_bytes'] == pytest.approx(
    2 * memory['parameters_bytes'], rel=0.01
  )
  assert memory['peak_bytes'] == (
    memory['arguments_bytes'] + memory['temporaries_bytes']
  )
  sharded = _planner(compiled).plan(_plan()).memory
  assert sharded['parameters_bytes'] < 0.5 * memory['parameters_bytes']


@pytest.fixture(name='compilations')
def _compilations(monkeypatch):
  """Counts the programs that are compiled."""
  compile_lowered, seen = compile_lib.compile_lowered, []

  def counted(lowered, *args, **kwargs):
    seen.append(lowered)
    return compile_lowered(lowered, *args, **kwargs)

  monkeypatch.setattr(compile_lib, 'compile_lowered', counted)
  return seen


def test_a_second_plan_compiles_nothing(tmp_path, compilations):
  one = _planner(tmp_path).plan(_plan())
  assert len(compilations) == 2
  two = _planner(tmp_path).plan(_plan())
  assert len(compilations) == 2
  assert one.to_json() == two.to_json()


def test_a_damaged_file_of_the_cache_counts_as_none(tmp_path):
  program = compile_lib.Program('text', compile_lib.Memory(1, 2, 3, 4))
  cache.write(tmp_path, 'name', program)
  assert cache.read(tmp_path, 'name') == program
  (path,) = tmp_path.iterdir()
  path.write_bytes(path.read_bytes()[:20])
  assert cache.read(tmp_path, 'name') is None
  assert cache.read(tmp_path, 'other') is None


def test_the_update_is_compiled_once_for_all_layouts(tmp_path, compilations):
  lines = []
  planner = _planner(tmp_path, lines)
  layouts = [_LAYOUT, f'unconditional/{small.SIZE}']
  plans = [_plan(layout=name) for name in layouts]
  assert len(list(planner.plans(plans))) == 2
  # One update, and gradients of each layout.
  assert len(compilations) == 3
  assert any('1 to go, about' in line for line in lines)


def test_search_ranks_what_fits_and_stops_at_what_does_not(
  compiled, monkeypatch
):
  planner = _planner(compiled)
  real = planner.plan

  def plan(candidate, left=0):
    found = real(dataclasses.replace(candidate, batch_per_chip=1.0), left)
    peak = int(candidate.batch_per_chip * found.memory['hbm_bytes'] * 0.6)
    # No cycles are estimated for a CPU: let time be one second.
    found.tally.seconds = 1.0 / candidate.batch_per_chip
    return dataclasses.replace(
      found, plan=candidate, memory={**found.memory, 'peak_bytes': peak}
    )

  monkeypatch.setattr(planner, 'plan', plan)
  plans = planner_lib.candidates(
    _plan(),
    meshes=[mesh_lib.MeshConfig(data=1, fsdp=8)],
    remats=['none', 'full'],
    batches=[1.0, 2.0, 4.0],
  )
  lines = []
  found = planner_lib.search(planner, plans, lines.append)
  assert [e.fits for e in found] == [True, True, False, False]
  assert [e.plan.batch_per_chip for e in found] == [1.0, 1.0, 2.0, 2.0]
  assert sum('left out' in line for line in lines) == 2
  shown = report.search_json(found)
  assert shown['fits'] and len(shown['search']) == 4
  text = report.table(found, with_mesh=True)
  assert text.count('fsdp=8') == 4 and text.count('NO') == 2


@pytest.mark.parametrize(
  'said, wanted',
  [
    (
      'Ran out of memory in memory space hbm. Used 20.08G of 15.75G hbm. '
      'Exceeded hbm capacity by 4.33G.',
      20.08,
    ),
    (
      'E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory '
      'required for HLO temporaries (15.77G) exceeds available HBM (15.75G).',
      15.77,
    ),
  ],
)
def test_a_step_that_exhausts_memory_is_reported_not_raised(said, wanted):
  class Lowered:
    def compile(self):
      raise jax.errors.JaxRuntimeError(f'RESOURCE_EXHAUSTED: {said}')

  program = compile_lib.compile_lowered(Lowered())
  assert program.memory is None
  assert program.needed == int(wanted * 2**30)


def test_without_libtpu_the_message_says_how_to_install_it(monkeypatch):
  import sys

  monkeypatch.setitem(sys.modules, 'libtpu', None)
  with pytest.raises(errors.ConfigError, match=r'pip install videopoet_jax\['):
    compile_lib.devices_of(topologies.parse('v5p:4x4x4'))


def test_presets_of_the_paper_plan_their_memory_without_compiling():
  plan = specification.Specification(
    presets.preset('1b'),
    small.tasks.LayoutSpace(),
    'text_to_video/17x128x128',
    topologies.parse('v5e:2x4'),
  )
  step = compile_lib.train_step(plan, jax.devices())
  # 1.0 B parameters and two moments in float32, in eight parts, and tables.
  assert 1.4e9 < step.state < 2.8e9
