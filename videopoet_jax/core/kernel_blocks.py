"""Blocks of a fused attention kernel, and the padding that they cause.

A kernel walks over blocks of queries by keys under a prefix mask. A block that
is masked as a whole is skipped, and a sequence is padded to whole blocks.
`layers/splash.py` passes the chosen blocks to the kernel; layouts and plans
report the padding.

The sizes are chosen by a model of time: the number of elements in the blocks
that are computed, plus a constant for each block, the cost of one step of the
kernel's grid. Large blocks take fewer steps, small ones skip more and pad less.
Among all pairs of sizes within a tenth of the least time, the one that pads
least is taken.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

# Blocks are multiples of the lanes of a TPU's vector unit.
LANES = 128
# Sequences too short to fill a block go without a fused kernel.
SHORTEST = LANES
_LARGEST = 1024
# Keys that are worked on at one time. Products of queries and keys larger than
# _LARGEST_PRODUCT overflow a v5e's fast memory in the backward pass.
_LARGEST_COMPUTE = 640
_LARGEST_PRODUCT = 1024 * 512
_LEAST_COMPUTE = 256
# A step of the kernel's grid costs as much as this many more elements of the
# mask: 0.35 microseconds (JAX's Pallas documentation) at 1.75 GHz, against
# 0.006 cycles an element, what the compiler's schedules for a v5p come to with
# heads of 128 (docs/attention.md).
_STEP_ELEMENTS = 100_000
# How much more of that time a pair of sizes may take that pads less: positions
# that are padded also cost copies, which the model does not count.
_TOLERANCE = 0.1


class Blocks(NamedTuple):
  """Sizes of the kernel's blocks.

  Attributes:
    queries: queries in a block.
    keys: keys in a block.
  """

  queries: int
  keys: int

  @property
  def computed_keys(self) -> int:
    """Keys of a block that are worked on at one time."""
    return max(
      size
      for size in range(LANES, min(self.keys, _LARGEST_COMPUTE) + 1, LANES)
      if self.keys % size == 0
      and (size == LANES or size * self.queries <= _LARGEST_PRODUCT)
    )

  def padded(self, length: int, sequence_parts: int = 1) -> tuple[int, int]:
    """Queries and keys of a sequence, padded to whole blocks.

    Args:
      length: positions.
      sequence_parts: devices that the queries are split over.
    """
    return (
      _whole(length, self.queries * sequence_parts),
      _whole(length, self.keys),
    )


def run(length: int, prefix_length: int, blocks: Blocks) -> np.ndarray:
  """Which blocks of a sequence the kernel works on.

  Args:
    length: positions, before padding.
    prefix_length: positions of the prefix.
    blocks: sizes of the blocks.

  Returns:
    bool (blocks of queries, blocks of keys).
  """
  last_query = blocks.queries * (1 + np.arange(-(-length // blocks.queries)))
  first_key = blocks.keys * np.arange(-(-length // blocks.keys))
  return (first_key[None, :] < last_query[:, None]) | (
    first_key[None, :] < prefix_length
  )


def cost(
  length: int, prefix_length: int, blocks: Blocks, sequence_parts: int = 1
) -> float:
  """Time of one head by the model, in elements of the mask."""
  padded, _ = blocks.padded(length, sequence_parts)
  # Padding of the queries is computed like queries.
  worked_on = run(padded, prefix_length, blocks)
  worked_on = worked_on[:, : -(-length // blocks.keys)]
  area = blocks.queries * blocks.keys
  return float(worked_on.sum()) * (area + _STEP_ELEMENTS)


@functools.cache
def candidates(
  length: int, prefix_length: int, sequence_parts: int = 1
) -> tuple[tuple[float, Blocks], ...]:
  """All pairs of sizes with their time by the model.

  Args:
    length: positions.
    prefix_length: positions of the prefix.
    sequence_parts: devices that the queries are split over.
  """
  sizes = range(LANES, min(_LARGEST, _whole(length, LANES)) + 1, LANES)
  pairs = itertools.starmap(Blocks, itertools.product(sizes, sizes))
  return tuple(
    (cost(length, prefix_length, pair, sequence_parts), pair)
    for pair in pairs
    # Keys that divide into small parts only (896) are slow to compute.
    if pair.computed_keys >= min(pair.keys, _LEAST_COMPUTE)
  )


@functools.cache
def choose(length: int, prefix_length: int, sequence_parts: int = 1) -> Blocks:
  """The blocks that pad least among those that take little time.

  Args:
    length: positions.
    prefix_length: positions of the prefix.
    sequence_parts: devices that the queries are split over.
  """
  found = candidates(length, prefix_length, sequence_parts)
  limit = min(time for time, _ in found) * (1 + _TOLERANCE)
  return min(
    (sum(pair.padded(length, sequence_parts)), time, -pair.queries, pair)
    for time, pair in found
    if time <= limit
  )[-1]


def padding(length: int, prefix_length: int) -> int:
  """Positions that fill the last block: the larger number, queries or keys.

  Args:
    length: positions.
    prefix_length: positions of the prefix.
  """
  if length < SHORTEST:
    return 0
  return max(choose(length, prefix_length).padded(length)) - length


def _whole(length: int, multiple: int) -> int:
  return -(-length // multiple) * multiple
