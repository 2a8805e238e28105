"""Plans a train step, a mixture or a generating call for TPU slices."""

from collections.abc import Callable, Sequence
import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING

from videopoet_jax.core import errors
from videopoet_jax.core import gin_state
from videopoet_jax.planning import request
from videopoet_jax.planning import topologies

if TYPE_CHECKING:
  from videopoet_jax.planning import outcome as outcome_lib

# JAX starts with the first import that follows: its view of the machine is set
# before, by `request.set_environment`.


@dataclasses.dataclass(frozen=True)
class Search:
  """The combinations that a search compiles.

  Attributes:
    meshes: `AXIS=CHIPS,...` each; see `request.search_meshes` for the default.
    remats: remat policies.
    batches: sequences a chip.
  """

  meshes: Sequence[str] = ()
  remats: Sequence[str] = request.SEARCH_REMATS
  batches: Sequence[float] = request.SEARCH_BATCHES


def plan(
  model: str = '',
  topology: str = 'v5p:4x4x4',
  *,
  slices: int = 1,
  mesh: str = '',
  program: str = 'train',
  layouts: Sequence[str] = (),
  clips: Sequence[str] = (),
  steps: int = 24,
  remat: str = '',
  batch_per_chip: float = 1.0,
  attention: str = '',
  optimizer: str = '',
  search: Search | None = None,
  run_files: Sequence[str] = (),
  tokens_per_batch: int = 0,
  compiled: bool = True,
  cache_dir: str | os.PathLike[str] | None = None,
  bindings: Sequence[str] = (),
  log: Callable[[str], None] | None = None,
) -> 'outcome_lib.Outcome':
  """Compiles programs for a TPU slice, without a TPU.

  Args:
    model: name of a preset ('8b' unless given; for run files, their own).
    topology: shape of a slice.
    slices: number of slices.
    mesh: `AXIS=CHIPS,...`; '' splits parameters over all chips of a slice.
    program: 'train', or the generating 'sample' (super-resolution) or 'decode';
      'encode' or 'decode' of the visual tokenizer.
    layouts: see `request.specify`.
    clips: `FRAMESxHEIGHTxWIDTH`, for layouts 'all' and 'longest', and for the
      visual tokenizer, the paper's unless given.
    steps: decoding steps of 'sample'.
    remat: remat policy; the preset's unless given.
    batch_per_chip: sequences a chip.
    attention: implementation; the preset's unless given.
    optimizer: name of the optimizer ('adamw' unless given; for run files, their
      own).
    search: settings to try, instead of a single combination.
    run_files: gin files of a run of the language model, whose whole mixture
      is planned.
    tokens_per_batch: number that replaces that of the run files.
    compiled: whether to compile; False estimates a mixture from its work alone,
      in seconds.
    cache_dir: folder of compiled programs; the user's cache unless given.
    bindings: `NAME.FIELD = VALUE`, see `request.specify`.
    log: receives lines of progress; without it nothing is printed.

  Returns:
    The estimates. Memory is the compiler's own, times are estimates
    (docs/planning.md).

  Raises:
    UserError: a name is unknown, parts do not match, or libtpu is missing.
  """
  parsed = topologies.parse(topology, slices)
  request.set_environment(parsed)
  from videopoet_jax.planning import cache
  from videopoet_jax.planning import outcome as outcome_lib
  from videopoet_jax.planning import planner as planner_lib

  log = log or (lambda line: None)
  planner = planner_lib.Planner(
    directory=(
      pathlib.Path(cache_dir) if cache_dir else cache.default_directory()
    ),
    log=log,
  )
  if run_files:
    from videopoet_jax.experiments import mixture_plan

    with gin_state.isolated():
      found = mixture_plan.read(
        run_files,
        topology=parsed,
        model=model,
        mesh=mesh,
        clips=clips,
        default_clips=request.CLIPS,
        remat=remat,
        attention=attention,
        optimizer=optimizer,
        tokens_per_batch=tokens_per_batch,
        bindings=bindings,
      )
    return mixture_plan.run(found, planner if compiled else None)
  model = model or '8b'
  if model == request.TOKENIZER and not clips:
    if program not in request.TOKENIZER_CLIPS:
      raise errors.ConfigError(
        f'--program {program} is not of the model {model!r}; give --program '
        f'{", ".join(request.TOKENIZER_CLIPS)}.'
      )
    clips = (request.TOKENIZER_CLIPS[program],)
  plans = request.specify(
    model=model,
    topology=topology,
    slices=slices,
    mesh=mesh,
    layouts=layouts,
    clips=clips or request.CLIPS,
    remat=remat,
    batch_per_chip=batch_per_chip,
    attention=attention,
    optimizer=optimizer or 'adamw',
    bindings=bindings,
  )
  if search and model == request.TOKENIZER:
    raise errors.ConfigError(
      f'search: the model {model!r} is not searched for; give mesh and '
      'batch_per_chip.'
    )
  if program != 'train':
    from videopoet_jax.planning import generation_plan

    if not mesh:
      plans = [generation_plan.copied(plan) for plan in plans]
    return generation_plan.run(
      planner, plans, program, model=model, steps=steps
    )
  if search is None:
    return outcome_lib.of_steps(list(planner.plans(plans)))
  tried = planner_lib.candidates(
    plans[0],
    meshes=request.search_meshes(parsed, search.meshes),
    remats=search.remats,
    batches=search.batches,
  )
  estimates = planner_lib.search(planner, tried, log)
  return outcome_lib.of_steps(estimates, is_search=True)
