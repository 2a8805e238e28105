"""`videopoet plan`: compiles programs for TPU pods where there is no TPU.

  videopoet plan --model 8b --topology v5p:4x4x4 --batch_per_chip 4
  videopoet plan --model 1b --topology v5e:2x4 --layout all --json
  videopoet plan --model 8b --topology v6e:8x8 --search
  videopoet plan --model sr_stage1 --topology v5p:4x4x4
  videopoet plan --model sr_stage2 --program sample --topology v5p:2x2x1
  videopoet plan --run_file gin/runs/paper_prefix_lm.gin --model 1b --no_compile

A train step is planned, or a whole call that generates (`--program`). Memory is
the compiler's own, times are estimates (docs/planning.md). An 8B step takes
about a minute and 2 GB to compile; what was compiled is kept.
"""

import argparse
import ast
from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from videopoet_jax.core import config as config_lib
from videopoet_jax.core import errors
from videopoet_jax.core import value_types
from videopoet_jax.jobs import cli
from videopoet_jax.jobs import unused_flags

if TYPE_CHECKING:
  from videopoet_jax.parallel import mesh as mesh_lib
  from videopoet_jax.planning import specification
  from videopoet_jax.planning import topologies

# The clips of the paper: square and portrait, short and long.
_CLIPS = ('17x128x128', '17x224x128', '41x128x128', '41x224x128')
_SEARCH_REMATS = ('full', 'save_qkv', 'minimal')
_SEARCH_BATCHES = (1.0, 2.0, 4.0, 8.0)
_PRESETS = ('prefix_lm_preset', 'super_resolution_preset')
_BINDINGS = (*_PRESETS, 'OptimizerConfig')
_LAYOUT = 'text_to_video/17x128x128'
# What --search tries values of in place of the flag's.
_SEARCHED = ('mesh', 'remat', 'batch_per_chip')
PROGRAMS = ('train', 'sample', 'decode')


def set_environment(topology: 'topologies.Topology') -> None:
  """Tells libtpu that there is no TPU; to be called before JAX starts.

  JAX itself computes on the CPU, and several planners may run at once.
  """
  os.environ.update(
    JAX_PLATFORMS='cpu',
    TPU_ACCELERATOR_TYPE=topology.accelerator_type,
    TPU_SKIP_MDS_QUERY='1',
    ALLOW_MULTIPLE_LIBTPU_LOAD='1',
  )
  for name in ('TPU_MIN_LOG_LEVEL', 'TPU_STDERR_LOG_LEVEL'):
    os.environ.setdefault(name, '3')
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')


def plan(
  *,
  model: str = '8b',
  topology: str = 'v5p:4x4x4',
  slices: int = 1,
  mesh: str = '',
  layouts: Sequence[str] = (),
  clips: Sequence[str] = _CLIPS,
  remat: str = '',
  batch_per_chip: float = 1.0,
  attention: str = '',
  optimizer: str = 'adamw',
  bindings: Sequence[str] = (),
) -> 'list[specification.Specification]':
  """What is to be compiled, one plan a layout; compiles nothing.

  Args:
    model: name of a preset, or of a stage of the paper's super-resolution.
    topology: of a slice.
    slices: how many.
    mesh: `AXIS=CHIPS,...`; '' splits parameters over all chips of a slice.
    layouts: names; `all` is every layout of `clips`, `longest` the longest of
      each clip. Units of super-resolution, for its models. None are one: text
      to video, or the stage's.
    clips: `FRAMESxHEIGHTxWIDTH`.
    remat: policy; '' is the preset's.
    batch_per_chip: sequences a chip.
    attention: implementation; '' is the preset's.
    optimizer: name.
    bindings: `prefix_lm_preset.FIELD = VALUE` (`super_resolution_preset` for
      its models) or `OptimizerConfig.FIELD = ..`.

  Raises:
    UserError: a name is unknown, or parts do not go together.
  """
  from videopoet_jax.planning import specification
  from videopoet_jax.planning import topologies
  from videopoet_jax.training import optimizers

  changes = _changes(bindings)
  given: dict[str, Any] = {}
  if remat:
    given['remat'] = remat
  if attention:
    given['attention'] = attention
  config, space, names = _subjects(model, changes, given, layouts, clips)
  parsed = topologies.parse(topology, slices)
  first = specification.Specification(
    config=config,
    space=space,
    layout=names[0],
    topology=parsed,
    batch_per_chip=batch_per_chip,
    mesh=specification.parse_mesh(mesh, slices),
    optimizer=_construct(
      optimizers.OptimizerConfig,
      'OptimizerConfig',
      {'name': optimizer} | changes['OptimizerConfig'],
    ),
  )
  first.mesh_sizes()
  return [dataclasses.replace(first, layout=name) for name in names]


def _subjects(
  model: str,
  changes: dict[str, dict[str, Any]],
  given: dict[str, Any],
  layouts: Sequence[str],
  clips: Sequence[str],
) -> tuple[Any, Any, list[str]]:
  """Config, space and the names of layouts or units, checked."""
  from videopoet_jax.core import tasks
  from videopoet_jax.core import upscaling
  from videopoet_jax.models.prefix_lm import presets
  from videopoet_jax.models.super_resolution import presets as sr_presets
  from videopoet_jax.planning import subjects

  stages = sr_presets.STAGES
  is_upscaling = model in stages or model in sr_presets.NAMES
  used, unused = _PRESETS[::-1] if is_upscaling else _PRESETS
  if changes[unused]:
    raise errors.ConfigError(
      f'--gin.{unused}: the model {model!r} is made by {used}; give '
      f'--gin.{used}.FIELD.'
    )
  fields = changes[used] | given
  if not is_upscaling:
    if model not in presets.NAMES:
      hint = errors.near_names(
        model, (*presets.NAMES, *sr_presets.NAMES, *stages)
      )
      raise errors.ConfigError(f'no model preset {model!r}{hint}.')
    config = presets.preset(model, **fields)
    space = tasks.LayoutSpace()
    names = layout_names(space, layouts or (_LAYOUT,), clips)
    config.check(space.vocabulary, space.layouts(names))
    return config, space, names
  name, unit = stages.get(model, (model, ''))
  upscaled = sr_presets.preset(name, **fields)
  grids = subjects.Grids()
  names = list(layouts) or [unit]
  if not all(names):
    raise errors.ConfigError(
      f'--model {model} has no size of its own: give --layout '
      'super_resolution/FRAMESxHEIGHTxWIDTH of the result, or --model '
      f'{" or ".join(stages)}.'
    )
  for each in names:
    upscaled.check(
      upscaling.Upscaling.parse(each), grids.visual, grids.low_visual
    )
  return upscaled, grids, names


def layout_names(
  space: Any, layouts: Sequence[str], clips: Sequence[str]
) -> list[str]:
  """Names behind `all` and `longest`, each once.

  Raises:
    LayoutError: a name or clip is none.
  """
  names: list[str] = []
  for name in layouts:
    if name not in ('all', 'longest'):
      names.append(space.layout(name).name)
      continue
    for clip in clips:
      sizes = clip.split('x')
      if len(sizes) != 3 or not all(size.isdigit() for size in sizes):
        raise errors.LayoutError(
          f'--clip {clip!r} is no FRAMESxHEIGHTxWIDTH, for example 17x128x128.'
        )
      found = space.standard_names(*map(int, sizes))
      if name == 'longest':
        found = [max(found, key=lambda n: space.layout(n).length)]
      names += found
  return list(dict.fromkeys(names))


def _changes(bindings: Sequence[str]) -> dict[str, dict[str, Any]]:
  """Fields by the configurable that `--gin.NAME.FIELD=VALUE` names."""
  found: dict[str, dict[str, Any]] = {name: {} for name in _BINDINGS}
  for binding in bindings:
    target, _, value = (part.strip() for part in binding.partition('='))
    name, _, field = target.rpartition('.')
    if name not in found:
      known = ' and '.join(f'--gin.{known}.FIELD' for known in _BINDINGS)
      raise errors.ConfigError(
        f'--gin.{target}: a plan knows {known} only; mesh, layouts and batch '
        'have flags of their own.'
      )
    try:
      found[name][field] = ast.literal_eval(value)
    except (SyntaxError, ValueError):
      raise errors.ConfigError(
        f'--gin.{target}={value}: not a Python value; strings take quotes, '
        f'--gin.{target}="\'{value}\'"'
      ) from None
  return found


def _construct(kind: Any, name: str, fields: dict[str, Any]) -> Any:
  known = [field.name for field in dataclasses.fields(kind)]
  for field in fields:
    if field not in known:
      hint = errors.near_names(field, known)
      raise errors.ConfigError(f'{name} has no field {field!r}{hint}.')
    annotation = value_types.field_types(kind)[field]
    value_types.check(f'{name}.{field}', fields[field], annotation)
  return kind(**fields)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='videopoet plan',
    description='Compiles the train step for a TPU slice, with no TPU: memory '
    'a chip, work, traffic, and an estimate of its time; or a whole call that '
    'generates. The model is changed with --gin.prefix_lm_preset.FIELD=VALUE '
    'or --gin.super_resolution_preset.FIELD=VALUE, the optimizer with '
    '--gin.OptimizerConfig.FIELD=VALUE.',
  )
  add = parser.add_argument
  add(
    '--model',
    help='300m, 1b, 8b, sr_stage1, sr_stage2, ... (gin/models); 8b unless '
    'given, of a --run_file its own',
  )
  add(
    '--run_file',
    action='append',
    help='gin file of a run of the language model, such as '
    'gin/runs/paper_prefix_lm.gin: its whole mixture is planned, and its '
    'average step; repeatable, later ones win. Any --gin.NAME=VALUE goes',
  )
  add(
    '--no_compile',
    action='store_true',
    help='of a --run_file: estimate every step from its work alone, in seconds',
  )
  add(
    '--tokens_per_batch',
    type=int,
    help="of a --run_file: in place of the run's own",
  )
  add(
    '--program',
    default='train',
    choices=PROGRAMS,
    help='a train step; `sample`, a call that upscales; `decode`, one that '
    'generates with the language model',
  )
  add('--steps', type=int, default=24, help='of `--program sample`')
  add('--topology', default='v5p:4x4x4', help='v5p:4x4x4, v5e:16x16, v6e:8x8')
  add('--slices', type=int, default=1, help='slices of that shape')
  add('--mesh', default='', help='for example fsdp=16,tensor=4; all to fsdp')
  add(
    '--layout',
    action='append',
    help='a name, `all`, or `longest` (the longest of each clip); '
    'super_resolution/17x448x256 for its models; repeatable',
  )
  add(
    '--clip',
    action='append',
    help=f'clips of `all` and `longest`; {", ".join(_CLIPS)} unless given',
  )
  add('--remat', default='', help="policy; the model's own unless given")
  add('--batch_per_chip', type=float, help='sequences a chip, 1 unless given')
  add('--attention', default='', help='implementation, for example splash')
  add('--optimizer', help='adamw (unless given), adafactor or muon')
  add('--search', action='store_true', help='try --meshes, --remats, --batches')
  add('--meshes', action='append', help='a --mesh to try; repeatable')
  add('--remats', help=f'policies to try, {",".join(_SEARCH_REMATS)}')
  add('--batches', help='sequences a chip to try, 1,2,4,8')
  add('--cache_dir', help='of compiled programs; ~/.cache/videopoet_jax/plans')
  add('--json', action='store_true', help='JSON on standard output')
  return parser


def _numbers(text: str) -> list[float]:
  try:
    return sorted(float(number) for number in text.split(','))
  except ValueError:
    raise errors.ConfigError(
      f'--batches {text!r} is no list of numbers, for example 1,2,4.'
    ) from None


def search_meshes(
  topology: 'topologies.Topology', given: Sequence[str] = ()
) -> 'list[mesh_lib.MeshConfig]':
  """Meshes to search.

  Args:
    topology: what they are of.
    given: `--meshes`; by default parameters over all chips of a slice, over a
      plane of a torus of three dimensions, and with heads split in 2 and 4.
  """
  from videopoet_jax.planning import specification

  texts = list(given)
  if not texts:
    texts = ['', 'tensor=2', 'tensor=4']
    if topology.chip.dimensions == 3 and min(topology.grid) > 1:
      copies = topology.slices * min(topology.grid)
      texts.insert(1, f'data={copies},fsdp=-1')
  return [specification.parse_mesh(text, topology.slices) for text in texts]


def _check_flags(flags: argparse.Namespace) -> None:
  """Refuses flags that cannot act together.

  Raises:
    ConfigError: one of them changes nothing beside the others.
  """
  parser = _parser()

  def refuse(reason: str, *names: str) -> None:
    unused_flags.refuse(parser, flags, names, reason)

  if flags.run_file and flags.program != 'train':
    raise errors.ConfigError(
      f'--program {flags.program} is of one layout; leave out --run_file, '
      'which plans train steps of a mixture.'
    )
  searching = ('meshes', 'remats', 'batches')
  if flags.run_file:
    one = ('layout', 'batch_per_chip', 'search', *searching)
    refuse('with --run_file, which plans a mixture', *one)
  else:
    refuse('without --run_file', 'no_compile', 'tokens_per_batch')
    if not {'all', 'longest'} & set(flags.layout or ()):
      refuse('without --layout all or --layout longest', 'clip')
  if flags.program != 'sample':
    refuse('without --program sample', 'steps')
  if flags.program != 'train':
    trained = ('optimizer', 'remat', 'search', *searching)
    refuse(f'with --program {flags.program}, which trains nothing', *trained)
  if flags.search:
    refuse('with --search, which tries its own', *_SEARCHED)
    if len(flags.layout or ()) > 1:
      raise errors.ConfigError('--search searches for one --layout; give one.')
  else:
    refuse('without --search', *searching)


def main(argv: Sequence[str]) -> int:
  """Reads the flags, plans and prints; 1 where something does not fit."""
  bindings, rest = config_lib.split_arguments(argv)
  flags = _parser().parse_args(rest)
  _check_flags(flags)
  from videopoet_jax.planning import topologies

  topology = topologies.parse(flags.topology, flags.slices)
  set_environment(topology)

  # Only now may JAX start.
  from videopoet_jax.planning import cache
  from videopoet_jax.planning import planner as planner_lib
  from videopoet_jax.planning import report

  def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

  directory = (
    pathlib.Path(flags.cache_dir)
    if flags.cache_dir
    else cache.default_directory()
  )
  planner = planner_lib.Planner(directory=directory, say=say)
  if flags.run_file:
    from videopoet_jax.jobs import plan_mixture

    found = plan_mixture.read(
      flags.run_file,
      topology=topology,
      model=flags.model or '',
      mesh=flags.mesh,
      clips=flags.clip or (),
      default_clips=_CLIPS,
      remat=flags.remat,
      attention=flags.attention,
      optimizer=flags.optimizer or '',
      tokens_per_batch=flags.tokens_per_batch or 0,
      bindings=bindings,
    )
    compiler = None if flags.no_compile else planner
    return plan_mixture.run(found, compiler, flags.json)
  flags.model = flags.model or '8b'
  plans = plan(
    model=flags.model,
    topology=flags.topology,
    slices=flags.slices,
    mesh=flags.mesh,
    layouts=flags.layout or (),
    clips=flags.clip or _CLIPS,
    remat=flags.remat,
    batch_per_chip=(
      1.0 if flags.batch_per_chip is None else flags.batch_per_chip
    ),
    attention=flags.attention,
    optimizer=flags.optimizer or 'adamw',
    bindings=bindings,
  )
  if flags.program != 'train':
    from videopoet_jax.jobs import plan_generation

    return plan_generation.run(planner, plans, flags)
  if flags.search:
    tried = planner_lib.candidates(
      plans[0],
      meshes=search_meshes(topology, flags.meshes or ()),
      remats=(flags.remats or ','.join(_SEARCH_REMATS)).split(','),
      batches=_numbers(flags.batches) if flags.batches else _SEARCH_BATCHES,
    )
    estimates = planner_lib.search(planner, tried, say)
    shown = report.search_json(estimates)
  else:
    estimates = list(planner.plans(plans))
    shown = report.to_json(estimates)
  if flags.json:
    print(json.dumps(shown, indent=2))
  else:
    print(report.table(estimates, with_mesh=flags.search))
    for estimate in estimates[:1]:
      print(report.details(estimate))
    print(report.FORMULA)
  return 0 if shown['fits'] else 1


if __name__ == '__main__':
  sys.exit(cli.run(main, sys.argv[1:]))
