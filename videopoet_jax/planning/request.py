"""A request for a plan: model, slice, layouts, and meshes to search."""

import ast
from collections.abc import Sequence
import dataclasses
import os
from typing import TYPE_CHECKING, Any

from videopoet_jax.core import errors
from videopoet_jax.core import value_types

if TYPE_CHECKING:
  from videopoet_jax.parallel import mesh as mesh_lib
  from videopoet_jax.planning import specification
  from videopoet_jax.planning import topologies

# The clips of the paper: square and portrait, short and long.
CLIPS = ('17x128x128', '17x224x128', '41x128x128', '41x224x128')
SEARCH_REMATS = ('full', 'save_qkv', 'minimal')
SEARCH_BATCHES = (1.0, 2.0, 4.0, 8.0)
_PRESETS = ('prefix_lm_preset', 'super_resolution_preset')
_TOKENIZER_CONFIG = 'VisualTokenizerConfig'
_TOKENIZER_RECIPE = 'VisualTokenizerRecipe'
_BINDINGS = (
  *_PRESETS, 'OptimizerConfig', _TOKENIZER_CONFIG, _TOKENIZER_RECIPE,
)  # fmt: skip
# The name of the visual tokenizer as a model.
TOKENIZER = 'visual_tokenizer'
_LAYOUT = 'text_to_video/17x128x128'
PROGRAMS = ('train', 'sample', 'decode', 'encode')
# The paper's clips of a tokenizer: it is trained on squares, and the base
# model's are portraits.
TOKENIZER_CLIPS = {
  'train': '17x128x128', 'encode': '17x224x128', 'decode': '17x224x128',
}  # fmt: skip


def set_environment(topology: 'topologies.Topology') -> None:
  """Configures libtpu for a missing TPU; call it before JAX starts.

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


def specify(
  *,
  model: str = '8b',
  topology: str = 'v5p:4x4x4',
  slices: int = 1,
  mesh: str = '',
  layouts: Sequence[str] = (),
  clips: Sequence[str] = CLIPS,
  remat: str = '',
  batch_per_chip: float = 1.0,
  attention: str = '',
  optimizer: str = 'adamw',
  bindings: Sequence[str] = (),
) -> 'list[specification.Specification]':
  """Returns the plans to compile, one a layout; compiles nothing.

  Args:
    model: name of a preset, or of a stage of the paper's super-resolution, or
      'visual_tokenizer'.
    topology: topology of a slice.
    slices: number of slices.
    mesh: `AXIS=CHIPS,...`; '' splits parameters over all chips of a slice.
    layouts: names; `all` is every layout of `clips`, `longest` the longest of
      each clip. For super-resolution, units. By default one: text to video, or
      the stage's unit. None for the visual tokenizer: `clips` are its sizes,
      once for each way to compute convolutions unless the config binds one.
    clips: clip sizes, `FRAMESxHEIGHTxWIDTH`.
    remat: remat policy; '' is the preset's.
    batch_per_chip: number of sequences a chip.
    attention: implementation; '' is the preset's.
    optimizer: name of the optimizer.
    bindings: `prefix_lm_preset.FIELD = VALUE` (`super_resolution_preset` for
      its models; `VisualTokenizerConfig` and `VisualTokenizerRecipe` for the
      visual tokenizer) or `OptimizerConfig.FIELD = ..`.

  Raises:
    UserError: a name is unknown, or parts do not match.
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
  """Returns config, space and the names of layouts or units, checked."""
  from videopoet_jax.core import tasks
  from videopoet_jax.core import upscaling
  from videopoet_jax.models.prefix_lm import presets
  from videopoet_jax.models.super_resolution import presets as sr_presets
  from videopoet_jax.planning import subjects

  stages = sr_presets.STAGES
  is_upscaling = model in stages or model in sr_presets.NAMES
  used = _PRESETS[1] if is_upscaling else _PRESETS[0]
  if model == TOKENIZER:
    used = _TOKENIZER_CONFIG
  for unused in {*_BINDINGS} - {used, 'OptimizerConfig'}:
    if changes[unused] and not (
      model == TOKENIZER and unused == _TOKENIZER_RECIPE
    ):
      raise errors.ConfigError(
        f'--gin.{unused}: the model {model!r} is made by {used}; give '
        f'--gin.{used}.FIELD.'
      )
  if model == TOKENIZER:
    for name in given:
      raise errors.ConfigError(
        f'--{name}: the model {TOKENIZER!r} has no such choice; leave it out.'
      )
    if layouts:
      raise errors.ConfigError(
        f'--layout: the model {TOKENIZER!r} takes clips; give --clip '
        f'{TOKENIZER_CLIPS["train"]}.'
      )
    return _tokenizer(changes, clips)
  fields = changes[used] | given
  if not is_upscaling:
    if model not in presets.NAMES:
      hint = errors.near_names(
        model, (*presets.NAMES, *sr_presets.NAMES, *stages, TOKENIZER)
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


def _tokenizer(
  changes: dict[str, dict[str, Any]], clips: Sequence[str]
) -> tuple[Any, Any, list[str]]:
  """Config, recipe and the names of a visual tokenizer's plans, checked."""
  from videopoet_jax.planning import visual_tokenizer
  from videopoet_jax.tokenizers.magvit2 import config as config_lib
  from videopoet_jax.training import visual_tokenizer as training

  fields = {'dtype': 'bfloat16'} | changes[_TOKENIZER_CONFIG]
  config = _construct(
    config_lib.VisualTokenizerConfig, _TOKENIZER_CONFIG, fields
  )
  recipe = _construct(
    training.VisualTokenizerRecipe,
    _TOKENIZER_RECIPE,
    changes[_TOKENIZER_RECIPE],
  )
  ways: Sequence[str] = visual_tokenizer.CONVOLUTIONS
  if 'convolution' in fields:
    ways = (config.convolution,)
  for clip in clips:
    config.spec.latent_shape(*parse_clip(clip))
  names = [
    visual_tokenizer.name_of(clip, way) for clip in clips for way in ways
  ]
  return config, visual_tokenizer.Clips(recipe), names


def parse_clip(text: str) -> tuple[int, int, int]:
  """Parses `FRAMESxHEIGHTxWIDTH`; raises LayoutError if it is invalid."""
  sizes = text.split('x')
  if len(sizes) != 3 or not all(size.isdigit() for size in sizes):
    raise errors.LayoutError(
      f'--clip {text!r} is no FRAMESxHEIGHTxWIDTH, for example 17x128x128.'
    )
  frames, height, width = map(int, sizes)
  return frames, height, width


def layout_names(
  space: Any, layouts: Sequence[str], clips: Sequence[str]
) -> list[str]:
  """Resolves `all` and `longest` to names, each once.

  Raises:
    LayoutError: a name or clip is invalid.
  """
  names: list[str] = []
  for name in layouts:
    if name not in ('all', 'longest'):
      names.append(space.layout(name).name)
      continue
    for clip in clips:
      found = space.standard_names(*parse_clip(clip))
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


def search_meshes(
  topology: 'topologies.Topology', given: Sequence[str] = ()
) -> 'list[mesh_lib.MeshConfig]':
  """Meshes to search.

  Args:
    topology: topology of the meshes.
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
