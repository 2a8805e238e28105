"""Sums a compiled program in the order that it runs.

Loop bodies count as often as they run. The time of an operation is the
compiler's own estimate of its cycles; collectives and attention kernels, which
have no estimate, are added at the rates stated in `network` and
`KERNEL_EFFICIENCY`. A collective that is started and waited for later takes
time only as far as the operations in between do not overlap it.
"""

import collections
from collections.abc import Sequence
import dataclasses
import math
import re

from videopoet_jax.planning import hlo
from videopoet_jax.planning import network as network_lib
from videopoet_jax.planning import products
from videopoet_jax.planning import traffic

# Share of the peak that attention kernels reach: v5p, heads of 128.
KERNEL_EFFICIENCY = 0.5
# Products of queries by keys (or of their gradients) that each of Splash's
# kernels computes, of 2 x queries x keys x head_dim FLOPs each; found in the
# kernel's name.
_KERNELS = (('dkv', 4), ('dq', 3), ('fwd', 2))

_FREE = {
  'parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast',
  'after-all', 'partition-id', 'replica-id', 'iota',
}  # fmt: skip
# Opcodes whose called computation runs in their place.
_CALLS = ('call', 'async-start', 'call-start')
# Opcodes whose called computation may hide a collective; the last is for those
# that run on a chip's sparse cores, beside everything else.
_HOLDERS = ('fusion', 'async-start', 'call-start')
# Passes work to another core, which was started before; its end is waited for.
_UPDATE = 'call-update'
# Custom calls that open and close a chain of fusions which computes while a
# collective proceeds; every link of it names the collective again.
_CHAIN_START, _CHAIN_DONE = 'AsyncCollectiveStart', 'AsyncCollectiveDone'
_CHAINED = 'between'


@dataclasses.dataclass
class Tally:
  """Sums over a program on one chip.

  Attributes:
    flops: FLOPs of matrix products, attention kernels included.
    kernel_flops: FLOPs in attention kernels among them.
    bytes: bytes read and written in the large memory, operation by operation.
    cycles: sum of the compiler's estimates.
    collectives: bytes sent, by (kind, 'ici' or 'dcn').
    collective_seconds: seconds of all transfers together.
    waited_seconds: seconds of transfers that nothing else overlaps.
    seconds: seconds of the program, in its order.
    unknown_loops: number of loops without a known number of trips.
  """

  flops: float = 0.0
  kernel_flops: float = 0.0
  bytes: float = 0.0
  cycles: float = 0.0
  collectives: dict[tuple[str, str], float] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(float)
  )
  collective_seconds: float = 0.0
  waited_seconds: float = 0.0
  seconds: float = 0.0
  unknown_loops: int = 0

  def add(self, other: 'Tally', times: float = 1.0) -> None:
    """Adds the sums of another tally, multiplied by `times`."""
    for field in dataclasses.fields(self):
      if field.name != 'collectives':
        value = getattr(self, field.name)
        setattr(self, field.name, value + times * getattr(other, field.name))
    for name, size in other.collectives.items():
      self.collectives[name] += times * size


class Scheduler:
  """Walks a program."""

  def __init__(
    self,
    module: hlo.Module,
    network: network_lib.Network,
    *,
    clock_hz: float,
    peak_flops: float,
    kernel_pairs: float = 0.0,
  ) -> None:
    """Stores the inputs of the walk.

    Args:
      module: program to walk.
      network: links between its devices.
      clock_hz: clock of the chip.
      peak_flops: peak rate of the chip.
      kernel_pairs: pairs of query and key of one head and one sequence that an
        attention kernel computes; 0 takes the whole square.
    """
    self._module = module
    self._network = network
    self._clock = clock_hz
    self._peak = peak_flops
    self._pairs = kernel_pairs
    self._done: dict[str, Tally] = {}
    self._inner: dict[str, float] = {}

  def total(self) -> Tally:
    """Sums over the whole program."""
    return self._run(self._module.entry)

  def _run(self, name: str) -> Tally:
    if name not in self._done:
      self._done[name] = self._tally(self._module.computations[name])
    return self._done[name]

  def _tally(self, computation: hlo.Computation) -> Tally:
    total = Tally()
    links = _Links()
    updated = {
      i.operands[0] for i in computation.instructions if i.opcode == _UPDATE
    }
    for instruction in computation.instructions:
      opcode = instruction.opcode
      if opcode in _FREE:
        continue
      if instruction.name in updated and self._source(instruction):
        continue
      if opcode == _UPDATE:
        start = computation.by_name[instruction.operands[0]]
        kind, _ = self._collective(start)
        if kind:
          links.send(total, self._transfer(start, kind), instruction.name)
          continue
      across = self._network.between_slices(instruction)
      if across is not None:
        links.send(total, across, _meeting(instruction))
        continue
      channel, place = self._link(computation, instruction)
      if place == _CHAIN_START:
        kind, _ = self._collective(instruction)
        links.send(total, self._transfer(instruction, kind), channel)
      elif place == _CHAIN_DONE:
        links.wait(total, channel)
      if place or channel in links.pending:
        self._work(computation, instruction, total)
        continue
      kind, started = self._collective(instruction)
      if kind:
        total.cycles += 0 if started else instruction.cycles
        links.send(total, self._transfer(instruction, kind), instruction.name)
        if not started:
          links.wait(total, instruction.name)
        continue
      if opcode.endswith('-done') and instruction.operands:
        begun = instruction.operands[0]
        if opcode == 'recv-done':
          begun = _meeting(computation.by_name[begun])
        links.wait(total, begun)
        continue
      self._work(computation, instruction, total)
    return total

  def _link(
    self, computation: hlo.Computation, instruction: hlo.Instruction
  ) -> tuple[str, str]:
    """Channel of the collective that a fusion holds, and its place in a chain.

    The place is the custom call that opens or closes the chain, _CHAINED for
    other fusions that compute products beside the collective, '' for others.
    """
    if instruction.opcode != 'fusion':
      return '', ''
    source = self._source(instruction)
    if source is None:
      return '', ''
    channel = source.attribute('channel_id')
    inner = self._module.computations[instruction.called['calls']]
    for end in inner.instructions:
      if end.target in (_CHAIN_START, _CHAIN_DONE):
        return channel, end.target
    products = self._flops(computation, instruction)
    return channel, _CHAINED if products else ''

  def _work(
    self,
    computation: hlo.Computation,
    instruction: hlo.Instruction,
    total: Tally,
  ) -> None:
    opcode, called = instruction.opcode, instruction.called
    if opcode == 'while':
      trips = self._module.trips(computation, instruction)
      total.unknown_loops += trips is None
      total.add(self._run(called['body']), 1 if trips is None else trips)
      return
    if opcode == 'conditional':
      branches = [self._run(name) for name in called.values()]
      total.add(max(branches, key=lambda tally: tally.seconds))
      return
    if opcode in _CALLS and not instruction.cycles:
      for name in called.values():
        total.add(self._run(name))
      return
    own = Tally(
      flops=self._flops(computation, instruction),
      bytes=traffic.moved(self._module, computation, instruction),
      cycles=instruction.cycles,
      seconds=instruction.cycles / self._clock,
    )
    if opcode == 'custom-call':
      own.kernel_flops = self._kernel_flops(computation, instruction)
      own.flops += own.kernel_flops
      if not instruction.cycles:
        own.seconds = own.kernel_flops / (self._peak * KERNEL_EFFICIENCY)
    total.add(own)

  def _collective(self, instruction: hlo.Instruction) -> tuple[str, bool]:
    """Kind of a collective ('' for none), and whether it only starts it."""
    opcode = instruction.opcode
    started = opcode.endswith('-start')
    base = opcode.removesuffix('-start')
    if base in network_lib.KINDS:
      return base, started
    source = self._source(instruction)
    if source is None:
      return '', False
    if opcode == 'fusion' and 'reduce-scatter' in _names(instruction):
      return 'reduce-scatter', False
    return source.opcode, started

  def _transfer(
    self, instruction: hlo.Instruction, kind: str
  ) -> network_lib.Transfer:
    source = self._source(instruction) or instruction
    size = None
    if instruction.opcode == 'fusion' and kind == 'reduce-scatter':
      # TPUs write it as an all-reduce of which a fusion keeps a padded part.
      group = source.groups(self._network.num_devices).shape[1]
      size = float(group * instruction.bytes)
    return self._network.transfer(source, kind, size)

  def _source(self, instruction: hlo.Instruction) -> hlo.Instruction | None:
    """The collective that a fusion or an asynchronous start holds, if any."""
    if instruction.opcode not in _HOLDERS:
      return None
    for name in instruction.called.values():
      for inner in self._module.computations[name].instructions:
        if inner.opcode in network_lib.KINDS:
          return inner
    return None

  def _flops(
    self, computation: hlo.Computation, instruction: hlo.Instruction
  ) -> float:
    """FLOPs of an instruction and of the instructions fused into it."""
    total = float(products.flops(computation, instruction))
    if instruction.opcode == 'fusion':
      name = instruction.called['calls']
      if name not in self._inner:
        inner = self._module.computations[name]
        self._inner[name] = sum(
          self._flops(inner, part) for part in inner.instructions
        )
      total += self._inner[name]
    return total

  def _kernel_flops(
    self, computation: hlo.Computation, instruction: hlo.Instruction
  ) -> float:
    label = f'{instruction.op_name} {instruction.name}'
    if instruction.target != 'tpu_custom_call':
      return 0.0
    arrays = [i.arrays[0] for i in computation.operands(instruction)]
    named = re.search('splash|flash|attention', label)
    if not named and not _is_compilers_attention(instruction, arrays):
      return 0.0
    # The first operands are tables of blocks, which are integers.
    query, key = [
      array.shape
      for array in arrays
      if array.type in ('bf16', 'f32') and len(array.shape) >= 3
    ][:2]
    rows = math.prod(query[:-2])
    pairs = self._pairs or query[-2] * key[-2]
    for part, number in _KERNELS:
      if part in label:
        return 2.0 * number * rows * pairs * query[-1]
    return 4.0 * rows * pairs * query[-1]


def _is_compilers_attention(
  instruction: hlo.Instruction, arrays: Sequence[hlo.Array]
) -> bool:
  """Whether the compiler generated this kernel from an attention.

  It does so by itself if scores are large, and the kernel has no operation's
  name: it has queries, keys and values, (batch, heads, positions, dimensions).
  """
  if instruction.op_name or len(arrays) != 3:
    return False
  query, key, value = (array.shape for array in arrays)
  same = query[:-2] == key[:-2] and query[-1:] == key[-1:]
  return len(query) == 4 and same and key == value


class _Links:
  """Arrival times of pending transfers, and when the next may start.

  Attributes:
    pending: seconds from the computation's start, by the name that is awaited.
  """

  def __init__(self) -> None:
    self.pending: dict[str, float] = {}
    self._free = {'ici': 0.0, 'dcn': 0.0}

  def send(self, total: Tally, moved: network_lib.Transfer, name: str) -> None:
    """Adds a transfer that begins now, or after the last of its network."""
    total.collectives[moved.kind, 'ici'] += moved.ici
    total.collectives[moved.kind, 'dcn'] += moved.dcn
    total.collective_seconds += moved.seconds
    way = 'ici' if moved.ici else 'dcn'
    self._free[way] = max(total.seconds, self._free[way]) + moved.seconds
    self.pending[name] = self._free[way]

  def wait(self, total: Tally, name: str) -> None:
    """Advances the time to the arrival, and counts it as waiting."""
    wait = self.pending.pop(name, 0.0) - total.seconds
    if wait > 0.0:
      total.waited_seconds += wait
      total.seconds += wait


def _meeting(instruction: hlo.Instruction) -> str:
  """The common part of a send to the host and its receive."""
  return instruction.attribute('_xla_host_transfer_rendezvous').strip('"')


def _names(instruction: hlo.Instruction) -> str:
  """The names of an instruction and of its called computations."""
  names = ' '.join((instruction.name, *instruction.called.values()))
  return names.replace('all-reduce-scatter', 'reduce-scatter')
