"""The cost of generating on a slice: one compiled call, loop included.

The program itself is inference's own and is passed in. Memory is the
compiler's; the estimate is that of a train step (`planning.estimate`), the
loop's body times its steps. The floor is the model's work at the chips' peak
rate, which no program can beat.
"""

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

import jax

from videopoet_jax.parallel import compiler
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.planning import compile as compile_lib
from videopoet_jax.planning import hlo
from videopoet_jax.planning import network as network_lib
from videopoet_jax.planning import schedule
from videopoet_jax.planning import specification


@dataclasses.dataclass(frozen=True)
class Generation:
  """A call that generates a batch, to be compiled.

  Attributes:
    plan: the model, the slice, and the batch.
    name: name of the program, unique among all programs.
    function: (params, *inputs) -> tokens.
    inputs: shapes of its inputs; the first axis of each is the batch, or a
      multiple of it, unless it is a scalar or named by `whole`.
    whole: indices of inputs that every chip holds completely.
    steps: number of times that the body of its loop runs.
    flops: FLOPs of the model's work, all chips.
  """

  plan: specification.Specification
  name: str
  function: Callable[..., Any]
  inputs: tuple[Any, ...]
  whole: tuple[int, ...]
  steps: int
  flops: float

  def compiler(
    self, devices: Sequence[Any]
  ) -> Callable[[], compile_lib.Program]:
    """Returns a function that compiles the call for these devices."""
    mesh = mesh_lib.create(self.plan.mesh, devices)
    rules = self.plan.rules
    boxed = self.plan.subject.parameters()
    params = _placed(
      rules_lib.unbox(boxed), rules_lib.shardings(boxed, mesh, rules)
    )
    rows = rules_lib.batch_sharding(mesh, rules)
    copy = rules_lib.replicated(mesh)
    inputs = [
      jax.tree.map(
        lambda leaf, whole=index in self.whole: _place(
          leaf, copy if whole or not leaf.shape else rows
        ),
        given,
      )
      for index, given in enumerate(self.inputs)
    ]

    def run() -> compile_lib.Program:
      with mesh_lib.use(mesh, rules):
        jitted = jax.jit(self.function, compiler_options=compiler.options(mesh))
        return compile_lib.compile_lowered(jitted.lower(params, *inputs))

    return run

  def estimate(
    self, program: compile_lib.Program, devices: Sequence[Any]
  ) -> 'Estimate':
    """Estimates the compiled call."""
    tally = None
    topology = self.plan.topology
    if program.text:
      tally = schedule.Scheduler(
        hlo.parse(program.text),
        network_lib.Network(topology, devices),
        clock_hz=topology.chip.clock_hz,
        peak_flops=topology.chip.peak_flops,
      ).total()
    peak = program.memory.peak if program.memory else program.needed
    return Estimate(self, peak, tally)


def _place(leaf: Any, sharding: jax.sharding.Sharding) -> Any:
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _placed(shapes: Any, shardings: Any) -> Any:
  return jax.tree.map(_place, shapes, shardings)


@dataclasses.dataclass(frozen=True)
class Estimate:
  """Cost of a call; None if it does not fit.

  Attributes:
    generation: call that was compiled.
    peak_bytes: peak of memory on a chip.
    tally: tally of one chip.
  """

  generation: Generation
  peak_bytes: int
  tally: schedule.Tally | None

  @property
  def fits(self) -> bool:
    """Whether the peak is within the chip's memory."""
    limit = self.generation.plan.topology.chip.hbm_bytes
    return self.tally is not None and self.peak_bytes <= limit

  @property
  def seconds(self) -> float | None:
    """Seconds of the whole call."""
    return self.tally.seconds if self.tally else None

  @property
  def floor_seconds(self) -> float:
    """Seconds of the model's work at the peak rate of all chips."""
    topology = self.generation.plan.topology
    peak = topology.num_chips * topology.chip.peak_flops
    return self.generation.flops / peak

  @property
  def bandwidth_seconds(self) -> float | None:
    """Seconds of reading and writing the large memory, at its rate."""
    if self.tally is None:
      return None
    chip = self.generation.plan.topology.chip
    return self.tally.bytes / chip.hbm_bandwidth

  def to_json(self) -> dict[str, Any]:
    """Plain values; rates are null if the call does not fit."""
    plan, tally = self.generation.plan, self.tally
    return {
      'fits': self.fits,
      'program': self.generation.name,
      'unit': plan.layout,
      'topology': plan.topology.name,
      'chips': plan.topology.num_chips,
      'mesh': plan.mesh_sizes(),
      'batch': plan.batch,
      'steps': self.generation.steps,
      'peak_bytes': self.peak_bytes,
      'hbm_bytes': plan.topology.chip.hbm_bytes,
      'model_flops': self.generation.flops,
      'hlo_flops': tally.flops * plan.topology.num_chips if tally else None,
      'hbm_traffic_bytes': tally.bytes if tally else None,
      'bandwidth_seconds': self.bandwidth_seconds,
      'collective_seconds': tally.collective_seconds if tally else None,
      'loops_of_unknown_length': tally.unknown_loops if tally else None,
      'estimated_seconds': self.seconds,
      'floor_seconds': self.floor_seconds,
    }

  def text(self) -> str:
    """Lines of text for the terminal."""
    plan, chip = self.generation.plan, self.generation.plan.topology.chip
    lines = [
      f'{self.generation.name} of {plan.layout}: {plan.batch} clips on '
      f'{plan.topology.num_chips} chips of {plan.topology.name}',
      f'  peak {self.peak_bytes / 1e9:.2f} GB a chip of '
      f'{chip.hbm_bytes / 1e9:.0f} GB: {"fits" if self.fits else "NO"}',
    ]
    if self.tally is not None and self.seconds is not None:
      steps = self.generation.steps
      each = f', {1e3 * self.seconds / steps:.1f} ms for each of {steps} steps'
      lines.append(f'  {self.seconds:.3f} s{each if steps > 1 else ""}')
      lines.append(
        f'  floor {self.floor_seconds:.3f} s: '
        f'{self.generation.flops / 1e12:,.0f} TFLOP of the model at '
        f'{chip.peak_flops / 1e12:.0f} TFLOP/s a chip '
        f'({self.floor_seconds / self.seconds:.0%} of the estimate)'
      )
      if self.tally.unknown_loops:
        lines.append(
          f'  {self.tally.unknown_loops:.0f} loop(s) of unknown length counted '
          'once: work and time are too low'
        )
    return '\n'.join(lines)
