"""Bytes between the cores and the large memory, operation by operation.

If a slice is read from or written into a larger array, only the slice is moved,
even within nested fusions: a scan's body reads one layer of its stacked
weights, not all.
"""

from videopoet_jax.planning import hlo

_SLICES = ('dynamic-slice', 'slice', 'gather')
_UPDATE = 'dynamic-update-slice'
# Custom calls that move nothing.
_STILL = ('AllocateBuffer', 'ConcatBitcast')


def moved(
  module: hlo.Module, computation: hlo.Computation, instruction: hlo.Instruction
) -> float:
  """Bytes that one operation reads from and writes to the large memory.

  Args:
    module: the program.
    computation: where the operation stands.
    instruction: the operation.
  """
  if instruction.target in _STILL:
    return 0.0
  written = float(_large(instruction))
  operands = computation.operands(instruction)
  if instruction.opcode in _SLICES:
    return 2.0 * written
  if instruction.opcode == _UPDATE:
    return 2.0 * _large(operands[1])
  if instruction.opcode != 'fusion':
    return written + sum(map(_large, operands))
  inner = module.computations[instruction.called['calls']]
  read = 0.0
  for index, operand in enumerate(operands):
    size, whole = _read(module, inner, index)
    large = float(_large(operand))
    read += large if whole else min(large, size)
  return _written(module, inner, instruction) + read


def _large(instruction: hlo.Instruction) -> int:
  """Bytes of a result that lie in the large memory."""
  return sum(a.bytes for a in instruction.arrays if not a.memory)


def _read(
  module: hlo.Module, inner: hlo.Computation, index: int
) -> tuple[float, bool]:
  """Bytes that slices read of an operand, and whether all of it is needed."""
  size = 0.0
  names = [
    i.name
    for i in inner.instructions
    if i.opcode == 'parameter' and i.operand_text.strip() == str(index)
  ]
  while names:
    name = names.pop()
    if name == inner.root.name:
      return size, True
    for user in inner.instructions:
      for place, operand in enumerate(user.operands):
        if operand != name:
          continue
        if user.opcode == 'bitcast':
          names.append(user.name)
        elif user.opcode in _SLICES and place == 0:
          size += user.bytes
        elif user.opcode == 'fusion':
          nested = module.computations[user.called['calls']]
          taken, whole = _read(module, nested, place)
          size += taken
          if whole and _origin(nested, nested.root).opcode != 'parameter':
            return size, True
          if whole:  # It is only another form of the operand.
            names.append(user.name)
        elif user.opcode != _UPDATE or place != 0:
          return size, True
  return size, False


def _written(
  module: hlo.Module, inner: hlo.Computation, fusion: hlo.Instruction
) -> float:
  """Bytes that a fusion writes to the large memory."""
  root = _origin(inner, inner.root)
  parts = inner.operands(root) if root.opcode == 'tuple' else [root]
  if len(parts) != len(fusion.arrays):
    return float(_large(fusion))
  return sum(
    min(float(array.bytes), _stored(module, inner, part))
    for array, part in zip(fusion.arrays, parts, strict=True)
    if not array.memory
  )


def _stored(
  module: hlo.Module, inner: hlo.Computation, value: hlo.Instruction
) -> float:
  """Bytes of a result that are new: an updated slice, else all."""
  value = _origin(inner, value)
  if value.opcode == _UPDATE:
    return float(inner.operands(value)[1].bytes)
  if value.opcode == 'fusion':
    nested = module.computations[value.called['calls']]
    if _origin(nested, nested.root).opcode != 'tuple':
      return _stored(module, nested, nested.root)
  return float(value.bytes)


def _origin(inner: hlo.Computation, value: hlo.Instruction) -> hlo.Instruction:
  """The value that a result is another form of."""
  while value.opcode == 'bitcast' and inner.operands(value):
    (value,) = inner.operands(value)
  return value
