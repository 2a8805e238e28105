"""Compiles a train step for a TPU slice without having the slice.

The step is the training loop's own: `training.step` gives its two programs,
gradients of one layout and the update that all layouts share, and they are
compiled with the loop's shardings and donated state. Between the two the
gradients lie in memory, one share a chip.
"""

from collections.abc import Callable, Sequence
import dataclasses
import re
from typing import Any

import jax
from jax.experimental import topologies as jax_topologies
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.planning import specification
from videopoet_jax.planning import topologies
from videopoet_jax.training import lowering

GRADIENTS, UPDATE = 'gradients', 'update'
# Schedules are functions of the step: their length changes no program.
_TOTAL_STEPS = 1000

# The memory that the compiler reports as needed: all of it, or the temporaries
# alone if they exceed the memory by themselves.
_EXHAUSTED = re.compile(
  r'(?:Used |temporaries \()([\d.]+)([KMGT]?)(?: of |\) exceeds available HBM)'
)
_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}

INSTALL = (
  'plans are compiled by libtpu, which is not installed: '
  'pip install videopoet_jax[tpu] (no TPU is needed)'
)


@dataclasses.dataclass(frozen=True)
class Memory:
  """Memory of a program on one chip, in bytes.

  Attributes:
    arguments: bytes of its arguments.
    outputs: bytes of its outputs.
    aliased: bytes of the outputs that share memory with arguments.
    temporaries: bytes of its temporaries.
  """

  arguments: int
  outputs: int
  aliased: int
  temporaries: int

  @property
  def peak(self) -> int:
    """Upper bound of everything at one time."""
    return self.arguments + self.outputs - self.aliased + self.temporaries


@dataclasses.dataclass(frozen=True)
class Program:
  """A compiled program.

  Attributes:
    text: its HLO; '' if it did not fit the chip's memory.
    memory: memory of the program; None if it did not fit.
    needed: bytes that it needs if it did not fit.
  """

  text: str
  memory: Memory | None
  needed: int = 0


@dataclasses.dataclass(frozen=True)
class Step:
  """The programs of a train step, to be compiled, and their inputs.

  Attributes:
    compilers: functions that compile a program, by name.
    parameters: bytes of the parameters on one chip.
    state: bytes of parameters, optimizer state and averaged parameters.
    gradients: bytes of the gradients.
    batch: bytes of a batch.
    devices: the mesh's devices, in the order that programs number them.
  """

  compilers: dict[str, Callable[[], Program]]
  parameters: int
  state: int
  gradients: int
  batch: int
  devices: tuple[Any, ...]


def devices_of(topology: topologies.Topology) -> list[Any]:
  """Returns descriptions of a topology's chips, to compile for.

  Raises:
    ConfigError: libtpu is missing, or does not support the topology.
  """
  try:
    import libtpu  # noqa: F401
  except ImportError:
    raise errors.ConfigError(INSTALL) from None
  options: dict[str, Any] = {}
  if topology.slices > 1:
    options['num_slices'] = topology.slices
  try:
    described = jax_topologies.get_topology_desc(
      platform='tpu',
      topology_name=topology.name,
      chips_per_host_bounds=topology.host_bounds,
      **options,
    )
  except Exception as error:  # The compiler raises many kinds.
    raise errors.ConfigError(
      f'--topology {topology.name}: the compiler knows no such slice '
      f'({str(error).splitlines()[0][:200]}); sizes are powers of two, or '
      'multiples of 4 on v4 and v5p, for example v5p:4x4x4.'
    ) from error
  return list(described.devices)


def train_step(
  plan: specification.Specification, devices: Sequence[Any] | None = None
) -> Step:
  """Prepares the programs of a train step; nothing is compiled yet.

  Args:
    plan: plan to compile.
    devices: devices to compile for; those of the plan's topology unless given.

  Raises:
    UserError: libtpu is missing, or parts of the plan do not match.
  """
  plan.mesh_sizes()
  if devices is None:
    devices = devices_of(plan.topology)
  mesh = mesh_lib.create(plan.mesh, devices)
  rules = plan.rules
  # Frozen, so its name is read-only: mypy takes the protocol's for settable.
  trainable: Any = plan.subject.trainable()
  step = lowering.prepare(
    trainable,
    plan.optimizer,
    mesh,
    rules,
    total_steps=_TOTAL_STEPS,
    ema_decay=0.999 if plan.ema else 0.0,
    batch=plan.subject.example(),
  )
  batch = plan.subject.batch_shapes(
    plan.batch, rules_lib.batch_sharding(mesh, rules)
  )

  def compiler(lower: Callable[[], Any]) -> Callable[[], Program]:
    def run() -> Program:
      with mesh_lib.use(mesh, rules):
        return compile_lowered(lower())

    return run

  parameters = per_device_bytes(step.state.params)
  return Step(
    compilers={
      GRADIENTS: compiler(lambda: step.lower_gradients(plan.layout, batch)),
      UPDATE: compiler(step.lower_update),
    },
    parameters=parameters,
    state=per_device_bytes(step.state),
    gradients=parameters,
    batch=per_device_bytes(batch),
    devices=tuple(mesh.devices.flat),
  )


def per_device_bytes(tree: Any) -> int:
  """Bytes of one device's share of arrays, layouts' padding not included."""
  total = 0
  for leaf in jax.tree.leaves(tree):
    shape = leaf.sharding.shard_shape(leaf.shape)
    total += int(np.prod(shape, dtype=np.int64)) * leaf.dtype.itemsize
  return total


def compile_lowered(lowered: Any) -> Program:
  """Compiles a program; one that does not fit records what it needs."""
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    match = _EXHAUSTED.search(str(error))
    if match is None:
      raise
    needed = float(match[1]) * _UNITS[match[2]]
    return Program('', None, int(needed))
  stats = compiled.memory_analysis()
  return Program(
    compiled.as_text(),
    Memory(
      arguments=stats.argument_size_in_bytes,
      outputs=stats.output_size_in_bytes,
      aliased=stats.alias_size_in_bytes,
      temporaries=stats.temp_size_in_bytes,
    ),
  )
