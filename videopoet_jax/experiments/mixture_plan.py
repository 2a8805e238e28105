"""`videopoet plan --run_file`: the average over all steps of a run.

The run's gin file states tasks, weights, stages, tokens a batch, model,
optimizer and mesh; its token sets state the sizes of clips if they can be read,
otherwise the paper's are used (`--clip`).
"""

from collections.abc import Sequence
import copy
import dataclasses
from typing import Any

import gin

from videopoet_jax.core import config as config_lib
from videopoet_jax.core import errors
from videopoet_jax.core import tasks as tasks_lib
from videopoet_jax.planning import mixture as mixture_lib
from videopoet_jax.planning import outcome as outcome_lib
from videopoet_jax.planning import planner as planner_lib
from videopoet_jax.planning import request
from videopoet_jax.planning import specification
from videopoet_jax.planning import topologies

# Macros of the run files that a plan does not need.
_OPEN = ('TOKENS', 'VISUAL', 'AUDIO')
_IMAGE_FRAMES = 1


@dataclasses.dataclass(frozen=True)
class Run:
  """Steps of a run, as its file describes them.

  Attributes:
    plan: model, optimizer, topology and mesh; its layout is that of any member.
    members: the layouts with their shares of all steps.
    steps: number of steps of the run.
  """

  plan: specification.Specification
  members: tuple[mixture_lib.Member, ...]
  steps: int


def read(
  run_files: Sequence[str],
  *,
  topology: topologies.Topology,
  model: str = '',
  mesh: str = '',
  clips: Sequence[str] = (),
  default_clips: Sequence[str] = (),
  remat: str = '',
  attention: str = '',
  optimizer: str = '',
  tokens_per_batch: int = 0,
  bindings: Sequence[str] = (),
  task_files: Sequence[str] = (),
) -> Run:
  """Reads a run's mixture from its gin files; compiles nothing.

  Args:
    run_files: paths or shipped files, later ones win.
    topology: topology of a slice, and the number of slices.
    model: name of a preset that replaces the run's model.
    mesh: `AXIS=CHIPS,...` that replaces the run's mesh.
    clips: sizes that replace those of the token sets.
    default_clips: sizes to use if no token set states any.
    remat: remat policy that replaces the model's own.
    attention: implementation that replaces the model's own.
    optimizer: name that replaces the run's optimizer.
    tokens_per_batch: number that replaces the run's.
    bindings: `NAME = VALUE`, after the files.
    task_files: tasks in addition to those of the run.

  Raises:
    UserError: the files cannot be read, or describe no run of the language
      model.
  """
  # Registers everything that a run file may bind.
  from videopoet_jax.data import agd
  from videopoet_jax.data import batches as batches_lib
  from videopoet_jax.data import registry
  from videopoet_jax.experiments import experiment as experiment_lib
  from videopoet_jax.experiments import prefix_lm  # noqa: F401
  from videopoet_jax.experiments import train  # noqa: F401

  _parse(run_files, bindings)
  bound = gin.get_bindings('prefix_lm', resolve_references=False)
  if 'config' not in bound:
    raise errors.ConfigError(
      f'--run_file {", ".join(run_files)} binds no prefix_lm.config: it is no '
      'run of the language model, such as gin/runs/paper_prefix_lm.gin.'
    )
  values = _Bound(bound)
  if model:
    _bind('prefix_lm_preset.name', model)
  for name, value in (('remat', remat), ('attention', attention)):
    if value:
      _bind(f'prefix_lm_preset.{name}', value)
  if optimizer:
    _bind('OptimizerConfig.name', optimizer)
  config = values.get('config')
  run_tasks = registry.load_tasks(
    (*task_files, *(values.get('task_files') or ()))
  )
  space, sizes = _space(values, run_tasks, clips)
  sizes = sizes or [request.parse_clip(clip) for clip in default_clips]
  names = tuple(values.get('layouts') or ())
  if not names:
    names = tuple(
      dict.fromkeys(
        name
        for size in sizes
        for name in _names_of(run_tasks, space, size, registry)
      )
    )
  layouts = space.layouts(names)
  config.check(space.vocabulary, layouts)
  weights = batches_lib.layout_weights(
    run_tasks, layouts, values.get('weights') or {}
  )
  schedule = values.get('mixture')
  mixture = agd.Mixture(layouts, weights, schedule, seed=0)
  steps = schedule.steps or experiment_lib.LoopConfig().total_steps
  tokens = tokens_per_batch or values.get('tokens_per_batch')
  chips = topology.num_chips
  plan = specification.Specification(
    config=config,
    space=space,
    layout=names[0],
    topology=topology,
    mesh=_mesh(mesh, topology, experiment_lib),
    optimizer=experiment_lib.OptimizerConfig(),
  )
  members = mixture_lib.members(
    layouts, list(mixture.average_shares()), tokens, chips
  )
  plan = mixture_lib.specify(plan, members[0])
  return Run(plan, members, steps)


def _parse(run_files: Sequence[str], bindings: Sequence[str]) -> None:
  """Parses a run's files; a plan may leave data and tokenizers open."""
  given = list(bindings)
  for name in (*_OPEN, ''):
    try:
      return config_lib.parse(run_files, given)
    except errors.ConfigError as error:
      still = [n for n in _OPEN if f'{n} is required and' in str(error)]
      if not name or not still:
        raise
      given += [f"{still[0]} = ''"]
  return None


class _Bound:
  """Values that gin binds to the language model's factory."""

  def __init__(self, bound: dict[str, Any]) -> None:
    """Stores bindings with unresolved references."""
    self._bound = bound

  def get(self, name: str) -> Any:
    """Returns the value; None if there is none."""
    # Copying a reference to a configurable or macro evaluates it.
    return copy.deepcopy(self._bound.get(name))


def _bind(name: str, value: Any) -> None:
  with gin.unlock_config():
    gin.bind_parameter(name, value)


def _names_of(
  run_tasks: Sequence[Any],
  space: tasks_lib.LayoutSpace,
  size: tuple[int, int, int],
  registry: Any,
) -> tuple[str, ...]:
  """Layouts of a size; for images, those of tasks that generate images."""
  chosen = run_tasks
  if size[0] == _IMAGE_FRAMES:
    chosen = [t for t in run_tasks if t.layout_template().frames == 1]
  return registry.layout_names(chosen, space, *size)


def _space(
  values: _Bound, run_tasks: Sequence[Any], clips: Sequence[str]
) -> tuple[tasks_lib.LayoutSpace, list[tuple[int, int, int]]]:
  """Vocabulary and grids, and the sizes of clips."""
  from videopoet_jax.data import sets as sets_lib
  from videopoet_jax.data import tokens as tokens_lib
  from videopoet_jax.tokenizers import text as text_lib

  tokens = values.get('tokens')
  sets = sets_lib.open_sets(tokens) if tokens else None
  info = sets.joint_info() if sets else tokens_lib.TokenInfo()
  default = tasks_lib.LayoutSpace()
  slots = values.get('text_slots') or info.text_slots or default.text_slots
  text_size = values.get('text_size')
  if text_size is None:
    text_size = default.vocabulary.text_size
    if sets and values.get('text'):
      found = text_lib.find(values.get('text'))
      text_size = text_lib.open_named(found).vocab_size
  space = sets_lib.make_space(
    info, run_tasks, text_size=text_size, text_slots=slots
  )
  if clips:
    return space, [request.parse_clip(clip) for clip in clips]
  if values.get('clip'):
    return space, [tuple(values.get('clip'))]
  return space, list(sets.clips) if sets else []


def _mesh(text: str, topology: topologies.Topology, experiment_lib: Any) -> Any:
  """The requested mesh, else the run's."""
  if text:
    return specification.parse_mesh(text, topology.slices)
  return dataclasses.replace(
    experiment_lib.MeshConfig(), slices=topology.slices
  )


def run(found: Run, planner: planner_lib.Planner | None) -> outcome_lib.Outcome:
  """Plans a run's mixture.

  Args:
    found: run to plan.
    planner: planner that compiles; None estimates every step from its work.
  """
  if planner is None:
    steps = mixture_lib.estimate(found.plan, found.members)
  else:
    steps = mixture_lib.compile_groups(planner, found.plan, found.members)
  shown = mixture_lib.summary(found.plan, steps, found.steps)
  return outcome_lib.Outcome(shown['fits'], shown, mixture_lib.table(shown))
