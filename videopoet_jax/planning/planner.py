"""Plans of many layouts, meshes, remat policies and batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
import dataclasses
import pathlib
import time
from typing import Any

from videopoet_jax.planning import cache
from videopoet_jax.planning import compile as compile_lib
from videopoet_jax.planning import estimate as estimate_lib
from videopoet_jax.planning import generation as generation_lib
from videopoet_jax.planning import specification


class Planner:
  """Compiles, keeps compiled programs, and reports progress."""

  def __init__(
    self,
    *,
    directory: pathlib.Path | None = None,
    devices: Sequence[Any] | None = None,
    log: Callable[[str], None] = print,
  ) -> None:
    """Opens the folder of compiled programs.

    Args:
      directory: folder of the programs; None keeps none.
      devices: devices to compile for; those of each plan's topology unless
        given.
      log: receives lines of progress.
    """
    self._directory = directory
    self._devices = devices
    self._log = log
    self._seconds: list[float] = []
    self._memory: dict[str, compile_lib.Program] = {}

  def plan(
    self, plan: specification.Specification, left: int = 0
  ) -> estimate_lib.Estimate:
    """Compiles one step, or reads the earlier result.

    Args:
      plan: plan to compile.
      left: plans that will follow, for the estimate of the remaining time.

    Raises:
      UserError: parts of the plan do not match, or libtpu is missing.
    """
    began = time.monotonic()
    step = compile_lib.train_step(plan, self._devices)
    programs = {}
    compiled = False
    for name, run in step.compilers.items():
      programs[name], fresh = self._program(name, plan, run)
      compiled |= fresh
    found = estimate_lib.estimate(plan, step, programs)
    if compiled:
      self._seconds.append(time.monotonic() - began)
    self._report(found, left, compiled)
    return found

  def plans(
    self, plans: Iterable[specification.Specification]
  ) -> Iterator[estimate_lib.Estimate]:
    """Plans one after the other."""
    plans = list(plans)
    for index, plan in enumerate(plans):
      yield self.plan(plan, left=len(plans) - index - 1)

  def generation(
    self, generation: generation_lib.Generation
  ) -> generation_lib.Estimate:
    """Compiles a call that generates, or reads the earlier result.

    Args:
      generation: call to compile.

    Raises:
      UserError: parts of the plan do not match, or libtpu is missing.
    """
    plan = generation.plan
    plan.mesh_sizes()
    devices = self._devices
    if devices is None:
      devices = compile_lib.devices_of(plan.topology)
    program, _ = self._program(
      generation.name, plan, generation.compiler(devices), cache.GENERATION
    )
    return generation.estimate(program, devices)

  def _program(
    self,
    name: str,
    plan: specification.Specification,
    run: Callable[[], compile_lib.Program],
    rooms: tuple[str, ...] = cache.TRAINING,
  ) -> tuple[compile_lib.Program, bool]:
    """Returns the program, and whether it had to be compiled."""
    rooms = (*rooms, *plan.subject.rooms)
    key = cache.key(name, _relevant(name, plan), self._kind(), rooms=rooms)
    if key in self._memory:
      return self._memory[key], False
    found = None
    if self._directory is not None:
      found = cache.read(self._directory, key)
    fresh = found is None
    if found is None:
      self._log(f'compiling {name} of {describe(plan)} ...')
      found = run()
      if self._directory is not None:
        cache.write(self._directory, key, found)
    if name == compile_lib.UPDATE:
      self._memory[key] = found
    return found, fresh

  def _kind(self) -> str:
    return 'topology' if self._devices is None else str(len(self._devices))

  def _report(
    self, found: estimate_lib.Estimate, left: int, compiled: bool
  ) -> None:
    peak = found.memory['peak_bytes'] / 2**30
    fits = 'fits' if found.fits else 'DOES NOT FIT'
    line = f'{describe(found.plan)}: {fits}, {peak:.1f} GiB a chip'
    if found.mfu:
      line += f', {found.seconds:.3f} s a step, MFU {found.mfu:.1%}'
    if found.tally is not None and found.tally.unknown_loops:
      line += (
        f'; {found.tally.unknown_loops:.0f} loop(s) of unknown length counted '
        'once: work and time are too low'
      )
    if compiled and left and self._seconds:
      each = sum(self._seconds) / len(self._seconds)
      line += f'; {left} to go, about {each * left / 60:.0f} min'
    self._log(line)


def _relevant(name: str, plan: specification.Specification) -> Any:
  """Inputs of a program: the update depends on neither layout nor batch."""
  if name != compile_lib.UPDATE:
    return plan
  config = plan.subject.bare_config()
  return dataclasses.replace(plan, config=config, layout='', batch_per_chip=1)


def describe(plan: specification.Specification) -> str:
  """Returns a line that describes a plan."""
  mesh = ','.join(
    f'{axis}={size}' for axis, size in plan.mesh_sizes().items() if size > 1
  )
  return (
    f'{plan.layout} on {plan.topology.name}'
    + (f' x {plan.topology.slices}' if plan.topology.slices > 1 else '')
    + f' [{mesh or "one chip"}], remat {plan.subject.remat}, '
    f'{plan.batch_per_chip:g} a chip'
  )


def candidates(
  plan: specification.Specification,
  *,
  meshes: Sequence[Any],
  remats: Sequence[str],
  batches: Sequence[float],
) -> list[specification.Specification]:
  """Returns all valid combinations.

  Args:
    plan: plan that they are variants of.
    meshes: MeshConfigs to combine.
    remats: names of remat policies.
    batches: numbers of sequences a chip.
  """
  found = []
  for mesh in meshes:
    for remat in remats:
      for batch in batches:
        given: Any = plan.config
        config = dataclasses.replace(given, remat=remat)
        found.append(
          dataclasses.replace(
            plan, config=config, mesh=mesh, batch_per_chip=batch
          )
        )
  return found


def search(
  planner: Planner,
  plans: Sequence[specification.Specification],
  log: Callable[[str], None] = print,
) -> list[estimate_lib.Estimate]:
  """Plans all possible candidates, the best first.

  A batch is skipped if a smaller one of the same mesh and remat policy did not
  fit.

  Args:
    planner: planner to use.
    plans: candidates in order of growing batch for each mesh and policy.
    log: receives a line for each candidate that is left out.

  Returns:
    Those that fit by falling MFU, then the others.
  """
  too_large: dict[Any, float] = {}
  found = []
  for index, plan in enumerate(plans):
    key = (plan.mesh, plan.subject.remat)
    if plan.batch_per_chip >= too_large.get(key, float('inf')):
      log(f'{describe(plan)}: left out, a smaller batch did not fit')
      continue
    result = planner.plan(plan, left=len(plans) - index - 1)
    if not result.fits:
      too_large[key] = plan.batch_per_chip
    found.append(result)
  return sorted(found, key=lambda e: (not e.fits, -(e.mfu or 0.0)))
