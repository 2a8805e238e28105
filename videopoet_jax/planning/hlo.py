"""Reads the text of a compiled program (HLO) into plain objects.

XLA offers no better way to a TPU program's own costs: its `cost_analysis`
counts the body of a loop once, and the cycles that the compiler estimated for
an operation are in the text alone.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import functools
import math
import re

import numpy as np

# Bits of an element; types that are not listed hold no data (tokens, tuples).
_BITS = {
  'pred': 8, 's4': 4, 'u4': 4, 's8': 8, 'u8': 8, 's16': 16, 'u16': 16,
  's32': 32, 'u32': 32, 's64': 64, 'u64': 64, 'f16': 16, 'bf16': 16,
  'f32': 32, 'f64': 64, 'c64': 64, 'c128': 128, 'f8e4m3fn': 8, 'f8e5m2': 8,
  'f8e4m3': 8, 'f8e4m3b11fnuz': 8, 'f8e5m2fnuz': 8, 'f8e4m3fnuz': 8,
}  # fmt: skip

_COMPUTATION = re.compile(r'^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) .*\{$')
# Operations of a sparse core are marked at the end of their text.
_END = re.compile(r'^\}(, execution_thread="[^"]*")?\s*$')
_INSTRUCTION = re.compile(r'^\s+(?P<root>ROOT )?%?(?P<name>[\w.\-]+) = ')
_ARRAY = re.compile(
  r'(?P<type>[a-z]\w*)\[(?P<dims>[\d,<=]*)\](?P<layout>\{[^}]*\})?'
)
_SPACE = re.compile(r'S\((\d+)\)')
_OPERAND = re.compile(r'%([\w.\-]+)')
_CALLED = re.compile(
  r'\b(calls|to_apply|body|condition|true_computation|false_computation)='
  r'%?([\w.\-]+)'
)
_BRANCHES = re.compile(r'\b(?:branch|called)_computations=\{([^}]*)\}')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_WHOLE = re.compile(r'-?\d+')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_NO_ESTIMATE = 2**63 - 1
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_IOTA = re.compile(
  r'replica_groups=\[(?P<shape>[\d,]+)\]<=\[(?P<from>[\d,]+)\]'
  r'(?:T\((?P<order>[\d,]+)\))?'
)
# Mesh axes by name, or the major parts of one: {'a','b':(2)4}.
_MESH = re.compile(
  r'replica_groups=mesh\[(?P<axes>[^\]]+)\](?P<order>[^{]*)'
  r'\{(?P<named>[^}]*)\}'
)
_IOTA_ORDER = re.compile(r'\[([\d,]+)\](?:T\(([\d,]+)\))?')
_AXIS = re.compile(r"'?([\w.]+)'?=(\d+)")
_NAMED = re.compile(r"'?([\w.]+)'?(?::\((\d+)\)(\d+))?")
_LISTED = re.compile(r'(?:replica_groups|source_target_pairs)=\{(\{.*?\})\}')


@dataclasses.dataclass(frozen=True)
class Array:
  """One array of an instruction's result.

  Attributes:
    type: element type as HLO names it.
    shape: sizes of the dimensions.
    memory: memory space; 0 is the large memory (HBM), others are on the chip's
      core or the host.
  """

  type: str
  shape: tuple[int, ...]
  memory: int = 0

  @property
  def elements(self) -> int:
    return math.prod(self.shape)

  @property
  def bytes(self) -> int:
    """Bytes without the padding of layouts."""
    return self.elements * _BITS.get(self.type, 0) // 8


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One operation.

  Attributes:
    name: unique within its computation.
    opcode: name of the operation.
    arrays: arrays of the result; several for a tuple.
    operands: names of its operands.
    text: text behind the operands: attributes and backend config.
    operand_text: text between the operands' brackets.
    root: whether its result is that of the computation.
  """

  name: str
  opcode: str
  arrays: tuple[Array, ...]
  operands: tuple[str, ...]
  text: str
  operand_text: str = ''
  root: bool = False

  @property
  def bytes(self) -> int:
    """Bytes of the result."""
    return sum(array.bytes for array in self.arrays)

  @property
  def called(self) -> Mapping[str, str]:
    """Computations by the attribute that names them."""
    found = {kind: name for kind, name in _CALLED.findall(self.text)}
    match = _BRANCHES.search(self.text)
    if match is not None:
      names = re.findall(r'[\w.\-]+', match[1])
      found.update({f'branch_{i}': name for i, name in enumerate(names)})
    return found

  @property
  def known_trips(self) -> int | None:
    """Number of times that a loop's body runs, if the text states it."""
    match = _TRIPS.search(self.text)
    return int(match[1]) if match else None

  @property
  def number(self) -> int | None:
    """Value of a whole scalar constant."""
    if self.opcode != 'constant' or not _WHOLE.fullmatch(self.operand_text):
      return None
    return int(self.operand_text)

  @property
  def cycles(self) -> int:
    """The compiler's estimate of this operation's cycles; 0 if there is none.

    Gathers on the sparse cores have the largest possible number.
    """
    match = _CYCLES.search(self.text)
    cycles = int(match[1]) if match else 0
    return cycles if cycles < _NO_ESTIMATE else 0

  @property
  def target(self) -> str:
    """Target of a custom call."""
    match = _TARGET.search(self.text)
    return match[1] if match else ''

  @property
  def op_name(self) -> str:
    """Path of the JAX operation that it comes from."""
    match = _OP_NAME.search(self.text)
    return match[1] if match else ''

  def attribute(self, name: str) -> str:
    """Value of an attribute without braces, '' if it is missing."""
    match = re.search(rf'\b{name}=(\{{[^}}]*\}}|[^\s,]+)', self.text)
    return match[1].strip('{}') if match else ''

  def groups(self, num_devices: int) -> np.ndarray:
    """Int (groups, size): devices that a collective joins, by position."""
    mesh = _MESH.search(self.text)
    if mesh is not None:
      return _mesh_groups(mesh['axes'], mesh['order'], mesh['named'])
    iota = _IOTA.search(self.text)
    if iota is not None:
      shape = _numbers(iota['shape'])
      devices = np.arange(math.prod(_numbers(iota['from'])))
      devices = devices.reshape(_numbers(iota['from']))
      if iota['order']:
        devices = devices.transpose(_numbers(iota['order']))
      return devices.reshape(shape[0], -1)
    listed = _LISTED.search(self.text)
    if listed is not None:
      rows = [_numbers(row) for row in re.findall(r'\{([\d,]*)\}', listed[1])]
      if rows and all(rows):
        return np.asarray(rows)
    return np.arange(num_devices)[None]


def _mesh_groups(axes: str, order: str, named: str) -> np.ndarray:
  """Devices that differ only along the named axes, one row a group."""
  wanted = {
    name: (int(before or 1), int(size or 0))
    for name, before, size in _NAMED.findall(named)
  }
  shape: list[int] = []
  inside: list[int] = []
  for name, size in _AXIS.findall(axes):
    before, part = wanted.get(name, (1, 1))
    part = part or int(size)
    if name in wanted:
      inside.append(len(shape) + 1)
    shape += [before, part, int(size) // before // part]
  devices = np.arange(math.prod(shape))
  if 'device_ids' in order:
    # From an iota of one shape, with its axes in another order.
    *_, (sizes, axes_order) = _IOTA_ORDER.findall(order)
    devices = devices.reshape(_numbers(sizes))
    if axes_order:
      devices = devices.transpose(_numbers(axes_order))
  devices = devices.reshape(shape)
  outside = [axis for axis in range(len(shape)) if axis not in inside]
  count = math.prod(shape[axis] for axis in inside)
  return devices.transpose(outside + inside).reshape(-1, count)


def _numbers(text: str) -> tuple[int, ...]:
  return tuple(int(number) for number in text.split(',') if number)


@dataclasses.dataclass(frozen=True)
class Computation:
  """Operations in the order that they run.

  Attributes:
    name: unique within the module.
    instructions: in the scheduled order.
  """

  name: str
  instructions: tuple[Instruction, ...]

  @functools.cached_property
  def by_name(self) -> dict[str, Instruction]:
    """The instructions by name."""
    return {i.name: i for i in self.instructions}

  @property
  def root(self) -> Instruction:
    """The instruction whose result is the computation's."""
    for instruction in self.instructions:
      if instruction.root:
        return instruction
    return self.instructions[-1]

  def operands(self, instruction: Instruction) -> list[Instruction]:
    """Operands of an instruction, in order."""
    return [
      self.by_name[name]
      for name in instruction.operands
      if name in self.by_name
    ]


@dataclasses.dataclass(frozen=True)
class Module:
  """A compiled program.

  Attributes:
    computations: computations by name.
    entry: name of the computation that the program starts with.
  """

  computations: Mapping[str, Computation]
  entry: str

  def trips(self, computation: Computation, loop: Instruction) -> int | None:
    """Number of times that a loop's body runs; None if unknown.

    A TPU's compiler does not state the number, but a scan's condition compares
    a counter with it: from the initial value, in steps that the body adds,
    which is one unless the compiler unrolled the loop.

    Args:
      computation: computation with the loop.
      loop: a `while`.
    """
    if loop.known_trips is not None:
      return loop.known_trips
    condition = self.computations[loop.called['condition']]
    found = self._comparison(condition)
    if found is None:
      return None
    limit, index = found
    start = 0
    initial = computation.operands(loop)
    if initial and initial[0].opcode == 'tuple':
      name = initial[0].operands[index]
      value = computation.by_name.get(name)
      while value is not None and value.opcode in ('copy', 'bitcast'):
        value = computation.by_name.get(value.operands[0])
      if value is not None and value.number is not None:
        start = value.number
    step = self._step(self.computations[loop.called['body']], index)
    return max(0, -(-(limit - start) // step))

  def _step(self, body: Computation, index: int) -> int:
    """Number that a loop's body adds to an element of its result tuple."""
    if body.root.opcode != 'tuple':
      return 1
    value = body.by_name.get(body.root.operands[index])
    while value is not None and value.opcode in ('copy', 'bitcast'):
      value = body.by_name.get(value.operands[0])
    inside = body
    if value is not None and value.opcode == 'fusion':
      inside = self.computations[value.called['calls']]
      given = {
        str(place): body.by_name.get(name)
        for place, name in enumerate(value.operands)
      }
      value = inside.root
    if value is None or value.opcode != 'add':
      return 1
    for side in inside.operands(value):
      origin: Instruction | None = side
      if side.opcode == 'parameter' and inside is not body:
        origin = given.get(side.operand_text)
      if origin is not None and origin.number:
        return origin.number
    return 1

  def _comparison(self, condition: Computation) -> tuple[int, int] | None:
    """Limit of `element < limit`, and the index of that element."""
    root, inside = condition.root, condition
    if root.opcode == 'fusion':
      inside = self.computations[root.called['calls']]
    compare = inside.root
    if compare.opcode != 'compare' or compare.attribute('direction') != 'LT':
      return None
    limit, index = None, 0
    for side in inside.operands(compare):
      origin: Instruction | None = side
      if side.opcode == 'parameter' and root.opcode == 'fusion':
        place = int(side.operand_text)
        origin = condition.by_name.get(root.operands[place])
      if origin is None:
        return None
      if origin.number is not None:
        limit = origin.number
      elif origin.opcode == 'get-tuple-element':
        index = int(origin.attribute('index') or 0)
    return None if limit is None else (limit, index)

  def walk(self) -> Iterator[tuple[Computation, Instruction]]:
    """Yields every instruction once, regardless of how often it runs."""
    for computation in self.computations.values():
      for instruction in computation.instructions:
        yield computation, instruction


def parse(text: str) -> Module:
  """Reads `compiled.as_text()`.

  Raises:
    ValueError: the text holds no entry computation.
  """
  computations: dict[str, Computation] = {}
  entry, name = '', ''
  lines: list[str] = []
  for line in text.splitlines():
    if not name:
      match = _COMPUTATION.match(line)
      if match is not None and not line.startswith('HloModule'):
        name, lines = match['name'], []
        if match['entry']:
          entry = name
    elif _END.match(line):
      found = [_instruction(whole) for whole in lines]
      computations[name] = Computation(name, tuple(filter(None, found)))
      name = ''
    elif _INSTRUCTION.match(line) or not lines:
      lines.append(line)
    else:
      # The metadata of a kernel extends over several lines.
      lines[-1] += line
  if not entry:
    raise ValueError('no ENTRY computation in the text of the program')
  return Module(computations, entry)


def _instruction(line: str) -> Instruction | None:
  match = _INSTRUCTION.match(line)
  if match is None:
    return None
  rest = line[match.end() :]
  end = _closing(rest) + 1 if rest.startswith('(') else rest.index(' ')
  shape, rest = rest[:end], rest[end:].lstrip()
  opcode, _, rest = rest.partition('(')
  end = _closing('(' + rest) - 1
  inside, attributes = rest[:end], rest[end + 1 :]
  return Instruction(
    name=match['name'],
    opcode=opcode.strip(),
    arrays=_arrays(shape),
    operands=tuple(_OPERAND.findall(inside) or _bare(opcode, inside)),
    text=attributes,
    operand_text=inside,
    root=bool(match['root']),
  )


def _bare(opcode: str, inside: str) -> list[str]:
  """Names of operands in a text without percent signs."""
  if opcode.strip() in ('parameter', 'constant', 'iota'):
    return []
  return [part.split()[-1] for part in inside.split(',') if part.strip()]


def _closing(text: str) -> int:
  """Index of the bracket that closes the one at the start."""
  depth = 0
  for index, letter in enumerate(text):
    if letter == '(':
      depth += 1
    elif letter == ')':
      depth -= 1
      if not depth:
        return index
  raise ValueError(f'a bracket stays open in {text[:80]!r}')


def _arrays(text: str) -> tuple[Array, ...]:
  found = []
  for match in _ARRAY.finditer(text):
    space = _SPACE.search(match['layout'] or '')
    sizes = match['dims'].replace('<=', '')
    found.append(
      Array(match['type'], _numbers(sizes), int(space[1]) if space else 0)
    )
  return tuple(found)
