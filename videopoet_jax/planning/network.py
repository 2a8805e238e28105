"""The duration of a collective on the links of its group of chips.

The model is rings over every dimension of the torus in which a group extends,
in both directions if the dimension closes on itself. A chip's share of the
traffic is that of the ring algorithms:

  all-gather, reduce-scatter, all-to-all   (g - 1) / g of the whole array
  all-reduce                               twice that
  collective-permute                       the array once

Traffic between slices goes over the data-centre network, at the rate of a
chip's share of its host's cards.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from videopoet_jax.planning import hlo
from videopoet_jax.planning import topologies

# Share of a link's rate that large transfers reach.
LINK_EFFICIENCY = 0.8

KINDS = (
  'all-gather',
  'reduce-scatter',
  'all-reduce',
  'all-to-all',
  'collective-permute',
)
# Text in a program of several slices for a transfer that its hosts carry.
_BETWEEN_SLICES = '_xla_megascale_transfer_type'
# A dimension of this many chips closes on itself: cubes of 4 on v4 and v5p
# are joined by optical switches, a v5e or v6e pod is 16 wide.
_CLOSES = {3: 4, 2: 16}


@dataclasses.dataclass(frozen=True)
class Transfer:
  """One run of a collective.

  Attributes:
    kind: one of `KINDS`.
    ici: bytes that a chip sends over the links of its slice.
    dcn: bytes that it sends to other slices.
    seconds: duration if nothing else is sent.
  """

  kind: str
  ici: float
  dcn: float
  seconds: float


class Network:
  """The links between the devices of a program."""

  def __init__(
    self, topology: topologies.Topology, devices: Sequence[Any]
  ) -> None:
    """Reads the place of each device.

    Args:
      topology: topology of the devices.
      devices: devices in the order of the program's numbering; without `coords`
        (on a CPU) they count as a row.
    """
    self._chip = topology.chip
    self._grid = topology.grid
    self.num_devices = len(devices)
    self._coordinates = np.array(
      [getattr(d, 'coords', (i, 0, 0)) for i, d in enumerate(devices)]
    )
    # A single slice's devices do not have a slice index.
    self._slices = np.array(
      [getattr(d, 'slice_index', None) or 0 for d in devices]
    )

  def transfer(
    self, instruction: hlo.Instruction, kind: str, size: float | None = None
  ) -> Transfer:
    """Returns the traffic and the duration of one run of a collective.

    Args:
      instruction: the collective, or the start of it.
      kind: one of `KINDS`.
      size: bytes of the whole array; read from the instruction unless given.
    """
    groups = instruction.groups(self.num_devices)
    if size is None:
      size = _payload(instruction, kind, groups.shape[1])
    if kind == 'collective-permute':
      crosses = self._slices[groups[:, 0]] != self._slices[groups[:, -1]]
      if crosses.any():
        return Transfer(kind, 0.0, size, self._dcn(size))
      return Transfer(kind, size, 0.0, size / self._link())
    slices = len(set(self._slices[groups[0]].tolist()))
    inside = groups.shape[1] // slices
    rounds = 2.0 if kind == 'all-reduce' else 1.0
    ici = rounds * size * (inside - 1) / inside
    # Data that cross slices have been reduced, or are not yet spread, in a
    # slice.
    dcn = rounds * size * (slices - 1) / slices / inside
    seconds = self._dcn(dcn)
    if ici:
      seconds += ici / (self._links(groups[0]) * self._link())
    return Transfer(kind, ici, dcn, seconds)

  def between_slices(self, instruction: hlo.Instruction) -> Transfer | None:
    """The traffic of a send to other slices; None for other instructions.

    Of a collective that extends over slices the compiler keeps the part inside
    of a slice, and writes the rest as sends to the host, which reduces and
    spreads.
    """
    if instruction.opcode != 'send':
      return None
    name = instruction.attribute(_BETWEEN_SLICES).strip('"')
    if not name:
      return None
    kind = name.lower().replace('_', '-')
    slices = len(set(self._slices.tolist()))
    rounds = 2.0 if kind == 'all-reduce' else 1.0
    size = rounds * instruction.arrays[0].bytes * (slices - 1) / slices
    return Transfer(kind, 0.0, size, self._dcn(size))

  def _link(self) -> float:
    return self._chip.link_bandwidth * LINK_EFFICIENCY

  def _dcn(self, size: float) -> float:
    return size / (self._chip.dcn_bandwidth * LINK_EFFICIENCY)

  def _links(self, group: np.ndarray) -> int:
    """Number of a chip's links that a group's rings use."""
    places = self._coordinates[group]
    links = 0
    for axis in range(min(places.shape[1], len(self._grid))):
      extent = len(set(places[:, axis].tolist()))
      if extent > 1:
        closed = extent == self._grid[axis] and (
          extent % _CLOSES[self._chip.dimensions] == 0
        )
        links += 2 if closed else 1
    return max(links, 1)


def _payload(instruction: hlo.Instruction, kind: str, group: int) -> float:
  """Bytes of the whole array of a collective."""
  size = float(instruction.bytes)
  if instruction.opcode == 'all-gather-start':
    # The result of a start holds the operands too.
    return size * group / (group + 1)
  if instruction.opcode == 'collective-permute-start':
    return float(instruction.arrays[0].bytes)
  return size * group if kind == 'reduce-scatter' else size
