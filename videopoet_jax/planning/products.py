"""FLOPs of matrix products and convolutions in a compiled program.

A multiplication and an addition count two. Elementwise work is not counted, as
usual for model FLOPs.
"""

import itertools
import math
import re

from videopoet_jax.planning import hlo

_WINDOW = re.compile(r'(\w+)=([\d_x\-]+)')


def flops(computation: hlo.Computation, instruction: hlo.Instruction) -> int:
  """FLOPs of one instruction without those it calls; 0 for other kinds.

  Args:
    computation: computation with the instruction.
    instruction: any instruction.
  """
  if instruction.opcode == 'dot':
    return _dot(computation, instruction)
  if instruction.opcode == 'convolution':
    return _convolution(computation, instruction)
  return 0


def _dot(computation: hlo.Computation, instruction: hlo.Instruction) -> int:
  left = computation.operands(instruction)[0].arrays[0].shape
  summed = instruction.attribute('lhs_contracting_dims')
  width = math.prod(left[int(axis)] for axis in summed.split(',') if axis)
  return 2 * instruction.arrays[0].elements * width


def _convolution(
  computation: hlo.Computation, instruction: hlo.Instruction
) -> int:
  # A TPU knows no other product: a dot is a convolution here, with its batch
  # dimensions as space, padded and dilated so that one place of each is valid.
  # So
  # only valid places are counted.
  left, right = (i.arrays[0].shape for i in computation.operands(instruction))
  out = instruction.arrays[0].shape
  left_names, rest = instruction.attribute('dim_labels').split('_')
  right_names, out_names = rest.split('->')
  window = {
    name: value.split('x')
    for name, value in _WINDOW.findall(instruction.attribute('window'))
  }
  spatial = sorted(set(left_names) - {'b', 'f'})
  valid = 1
  for index, axis in enumerate(spatial):
    low, high = window['pad'][index].split('_') if 'pad' in window else '00'
    del high  # It follows from the size of the output.
    valid *= valid_places(
      base=left[left_names.index(axis)],
      kernel=right[right_names.index(axis)],
      out=out[out_names.index(axis)],
      stride=_option(window, 'stride', index),
      pad=int(low),
      base_dilation=_option(window, 'lhs_dilate', index),
      kernel_dilation=_option(window, 'rhs_dilate', index),
    )
  # Kernels hold the input features of one group.
  inputs = right[right_names.index('i')]
  batch_groups = int(instruction.attribute('batch_group_count') or 1)
  batch = left[left_names.index('b')] // batch_groups
  return 2 * batch * out[out_names.index('f')] * inputs * valid


def _option(window: dict[str, list[str]], name: str, index: int) -> int:
  return int(window[name][index]) if name in window else 1


def valid_places(
  *,
  base: int,
  kernel: int,
  out: int,
  stride: int,
  pad: int,
  base_dilation: int,
  kernel_dilation: int,
) -> int:
  """Pairs of output and kernel positions that meet an element of the input."""
  if stride == base_dilation == kernel_dilation == 1 and not pad:
    if out + kernel - 1 == base:
      return out * kernel
  reach = (base - 1) * base_dilation
  count = 0
  for place, tap in itertools.product(range(out), range(kernel)):
    at = place * stride + tap * kernel_dilation - pad
    count += 0 <= at <= reach and at % base_dilation == 0
  return count
