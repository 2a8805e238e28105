"""Estimates of a plan from its compiled programs.

The estimate of a step's time is

  sum over operations, in the order that they run, of
    estimated_cycles / clock        (the compiler's; loop bodies times trips)
  + attention kernels' FLOPs / (KERNEL_EFFICIENCY x peak)
    + collectives, as far as nothing else overlaps them, at the links' rate

of both programs of a step. docs/planning.md compares it with published step
times.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.planning import compile as compile_lib
from videopoet_jax.planning import hlo
from videopoet_jax.planning import network as network_lib
from videopoet_jax.planning import schedule
from videopoet_jax.planning import specification


@dataclasses.dataclass(frozen=True)
class Estimate:
  """Costs of a step on one chip; None if it does not fit.

  Attributes:
    plan: plan of the step.
    memory: bytes by name, per chip; see `_memory`.
    model_flops: FLOPs of the model's work, all chips.
    recomputed_flops: additional FLOPs that the remat policy allows, all chips.
    tally: tally of both programs, one chip.
    seconds: seconds of a step.
  """

  plan: specification.Specification
  memory: Mapping[str, int]
  model_flops: float
  recomputed_flops: float
  tally: schedule.Tally | None

  @property
  def fits(self) -> bool:
    """Whether the peak is within the chip's memory."""
    limit = self.plan.topology.chip.hbm_bytes
    return self.tally is not None and self.memory['peak_bytes'] <= limit

  @property
  def seconds(self) -> float | None:
    """Seconds of a step."""
    return self.tally.seconds if self.tally else None

  @property
  def mfu(self) -> float | None:
    """Model FLOPs relative to what all chips could do in a step's time."""
    if not self.seconds:
      return None
    topology = self.plan.topology
    peak = topology.num_chips * topology.chip.peak_flops
    return self.model_flops / (self.seconds * peak)

  @property
  def tokens_per_second(self) -> float | None:
    """Positions of all sequences, as counted by the training loop."""
    if not self.seconds:
      return None
    tokens = self.plan.batch * self.plan.subject.positions
    return tokens / self.seconds

  def to_json(self) -> dict[str, Any]:
    """Plain values; rates are null if the step does not fit."""
    tally = self.tally
    chips = self.plan.topology.num_chips
    cycles = None
    if tally is not None:
      cycles = tally.cycles / self.plan.topology.chip.clock_hz
    return {
      'fits': self.fits,
      'batch_per_chip': self.plan.batch_per_chip,
      'remat': self.plan.subject.remat,
      'per_chip': dict(self.memory),
      'model_flops': self.model_flops,
      'recomputed_flops': self.recomputed_flops,
      'hlo_flops': tally.flops * chips if tally else None,
      'loops_of_unknown_length': tally.unknown_loops if tally else None,
      'kernel_flops': tally.kernel_flops * chips if tally else None,
      'hbm_bytes': tally.bytes if tally else None,
      'collective_bytes': {
        network: _collective_bytes(tally, network) for network in ('ici', 'dcn')
      },
      'collective_bytes_by_kind': _by_kind(tally),
      'collective_seconds': tally.collective_seconds if tally else None,
      'collective_seconds_waited': tally.waited_seconds if tally else None,
      'estimated_cycles_seconds': cycles,
      'estimated_step_seconds': self.seconds,
      'mfu': self.mfu,
      'tokens_per_second': self.tokens_per_second,
    }


def estimate(
  plan: specification.Specification,
  step: compile_lib.Step,
  programs: Mapping[str, compile_lib.Program],
) -> Estimate:
  """Combines the programs of a step.

  Args:
    plan: plan that was compiled.
    step: step that was compiled.
    programs: programs of `step.compilers`, by name.
  """
  subject = plan.subject
  pairs = subject.kernel_pairs(plan.mesh_sizes()['sequence'])
  tally: schedule.Tally | None = schedule.Tally()
  network = network_lib.Network(plan.topology, step.devices)
  chip = plan.topology.chip
  for program in programs.values():
    if not program.text or tally is None:
      tally = None
      break
    scheduler = schedule.Scheduler(
      hlo.parse(program.text),
      network,
      clock_hz=chip.clock_hz,
      peak_flops=chip.peak_flops,
      kernel_pairs=pairs,
    )
    tally.add(scheduler.total())
  return Estimate(
    plan,
    _memory(plan, step, programs),
    plan.batch * subject.work().train,
    plan.batch * subject.recomputation(),
    tally,
  )


def _memory(
  plan: specification.Specification,
  step: compile_lib.Step,
  programs: Mapping[str, compile_lib.Program],
) -> dict[str, int]:
  """Bytes of one chip.

  arguments_bytes: memory between steps (parameters, optimizer state) and a
    batch. temporaries_bytes: additional memory during a step: the gradients
    program's temporaries and the gradients, or the update's, whichever is more.
    peak_bytes: both.
  """
  resident = step.state + step.batch
  gradients = programs[compile_lib.GRADIENTS]
  update = programs[compile_lib.UPDATE]
  peaks, temporaries, activations = [], 0, 0
  if gradients.memory is not None:
    memory = gradients.memory
    # The state's other parts are not arguments of this program, but occupy
    # memory
    # all the same.
    peaks.append(step.state - step.parameters + memory.peak)
    temporaries = memory.temporaries
    activations = _activations(plan, gradients)
  else:
    peaks.append(step.state - step.parameters + gradients.needed)
  if update.memory is not None:
    peaks.append(update.memory.peak + step.batch)
  else:
    peaks.append(update.needed + step.batch)
  peak = max(peaks)
  return {
    'parameters_bytes': step.parameters,
    'optimizer_bytes': step.state - step.parameters,
    'gradients_bytes': step.gradients,
    'activations_bytes': activations,
    'arguments_bytes': resident,
    'temporaries_bytes': max(0, peak - resident),
    'gradients_program_temporaries_bytes': temporaries,
    'update_program_temporaries_bytes': (
      update.memory.temporaries if update.memory else 0
    ),
    'peak_bytes': peak,
    'hbm_bytes': plan.topology.chip.hbm_bytes,
  }


def _activations(
  plan: specification.Specification, program: compile_lib.Program
) -> int:
  """Bytes that the forward pass keeps of every layer for the backward.

  Under a scan these are the loops' arrays whose first axis counts layers,
  parameters and their gradients aside: float arrays of the compute dtype.
  """
  number = plan.subject.scanned
  if not number or not program.text:
    return 0
  module = hlo.parse(program.text)
  # Loops carry parameters and their gradients too, with the shapes of the
  # program's arguments. A loop may run one layer fewer than it carries: the
  # compiler may have moved the first out of it.
  parameters = {
    array.shape
    for instruction in module.computations[module.entry].instructions
    if instruction.opcode == 'parameter'
    for array in instruction.arrays
  }
  return max(
    (
      sum(
        array.bytes
        for array in instruction.arrays
        if array.shape[:1] == (number,) and array.shape not in parameters
      )
      for _, instruction in module.walk()
      if instruction.opcode == 'while'
    ),
    default=0,
  )


def _collective_bytes(
  tally: schedule.Tally | None, network: str
) -> float | None:
  """Bytes that a chip sends over one network."""
  if tally is None:
    return None
  return sum(
    size for (_, where), size in tally.collectives.items() if where == network
  )


def _by_kind(tally: schedule.Tally | None) -> dict[str, float]:
  """The same by kind, such as `all-gather/ici`."""
  if tally is None:
    return {}
  return {
    f'{kind}/{network}': size
    for (kind, network), size in sorted(tally.collectives.items())
    if size
  }
