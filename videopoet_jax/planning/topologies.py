"""TPU chips and slices: their capabilities and names.

The numbers are those of Google's pages on each chip (cloud.google.com/tpu/docs,
v4, v5e, v5p and v6e), unless a field says otherwise.
"""

import dataclasses
import math
import re

from videopoet_jax.core import errors

_GIB = 2**30
_NAME = re.compile(r'^(?P<chip>[a-z0-9]+):(?P<grid>\d+(?:x\d+)*)$')


@dataclasses.dataclass(frozen=True)
class Chip:
  """One kind of TPU chip; all rates are of one chip.

  Attributes:
    name: name in topologies.
    peak_flops: bfloat16 FLOP/s.
    hbm_bytes: memory that a program may use, the compiler's limit, which is
      less than the 32, 16, 95 and 32 GB of the data sheet.
    hbm_bandwidth: bytes/s.
    link_bandwidth: bytes/s of one link between chips, one way. The data sheet
      gives the sum of all links, both ways.
    dimensions: dimensions of the network between chips, with two links each.
    dcn_bandwidth: bytes/s to other slices, one way: 200 Gbit/s a host for v4,
      v5p and v6e and 100 Gbit/s for v5e, split over its chips.
    clock_hz: clock of the cores. v4: 1.05 GHz (Jouppi et al., arXiv
      2304.01433); the others follow from the peak, with 4 matrix units of 128 x
      128 a core (v6e: 4 of 256 x 256).
    cores: number of tensor cores, which count in an accelerator type.
    accelerator_type: prefix of the accelerator type.
    host_grid: chips of one host along each dimension.
  """

  name: str
  peak_flops: float
  hbm_bytes: int
  hbm_bandwidth: float
  link_bandwidth: float
  dimensions: int
  dcn_bandwidth: float
  clock_hz: float
  cores: int
  accelerator_type: str
  host_grid: tuple[int, int, int]

  @property
  def chips_per_host(self) -> int:
    """Chips of one host."""
    return math.prod(self.host_grid)


CHIPS: dict[str, Chip] = {
  chip.name: chip
  for chip in (
    Chip(
      'v4', 275e12, int(30.75 * _GIB), 1.228e12, 45e9, 3, 6.25e9, 1.05e9,
      2, 'v4', (2, 2, 1),
    ),
    Chip(
      'v5e', 197e12, int(15.75 * _GIB), 819e9, 45e9, 2, 3.125e9, 1.5e9,
      1, 'v5litepod', (2, 2, 1),
    ),
    Chip(
      'v5p', 459e12, int(95.74 * _GIB), 2.765e12, 90e9, 3, 6.25e9, 1.75e9,
      2, 'v5p', (2, 2, 1),
    ),
    Chip(
      'v6e', 918e12, int(31.25 * _GIB), 1.64e12, 90e9, 2, 6.25e9, 1.75e9,
      1, 'v6e', (2, 2, 1),
    ),
  )
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Topology:
  """Slices of one shape.

  Attributes:
    chip: kind of all chips.
    grid: chips along each dimension of a slice.
    slices: number of slices, joined by the data-centre network.
  """

  chip: Chip
  grid: tuple[int, ...]
  slices: int = 1

  @property
  def name(self) -> str:
    """`v5p:4x4x4`."""
    return f'{self.chip.name}:{"x".join(map(str, self.grid))}'

  @property
  def chips_per_slice(self) -> int:
    """Chips of one slice."""
    return math.prod(self.grid)

  @property
  def num_chips(self) -> int:
    """Number of chips of all slices; JAX shows each as one device."""
    return self.chips_per_slice * self.slices

  @property
  def accelerator_type(self) -> str:
    """The cloud's name of a slice: `v5p-128`, which counts cores."""
    cores = self.chips_per_slice * self.chip.cores
    return f'{self.chip.accelerator_type}-{cores}'

  @property
  def host_bounds(self) -> tuple[int, int, int]:
    """Chips of a host for the compiler, as far as the grid has them."""
    grid = (*self.grid, 1, 1)[:3]
    x, y, z = (min(a, b) for a, b in zip(self.chip.host_grid, grid))
    return (x, y, z)


def parse(name: str, slices: int = 1) -> Topology:
  """Parses a topology's name.

  Args:
    name: `CHIP:AxB` for v5e and v6e, `CHIP:AxBxC` for v4 and v5p.
    slices: number of slices of that shape.

  Raises:
    ConfigError: it is invalid; the message shows a valid one.
  """
  match = _NAME.match(name)
  wanted = 'expected for example v5p:4x4x4, v4:4x4x4, v5e:16x16 or v6e:8x8'
  if match is None:
    raise errors.ConfigError(f'--topology {name!r} is no topology; {wanted}.')
  if match['chip'] not in CHIPS:
    hint = errors.near_names(match['chip'], CHIPS)
    raise errors.ConfigError(
      f'--topology {name!r}: there is no chip {match["chip"]!r}{hint}; '
      f'{wanted}.'
    )
  chip = CHIPS[match['chip']]
  grid = tuple(int(size) for size in match['grid'].split('x'))
  if len(grid) != chip.dimensions or min(grid) < 1:
    raise errors.ConfigError(
      f'--topology {name!r}: a slice of {chip.name} has {chip.dimensions} '
      f'dimensions of at least one chip; {wanted}.'
    )
  if slices < 1:
    raise errors.ConfigError(f'--slices is {slices}; it must be at least 1.')
  return Topology(chip, grid, slices)
