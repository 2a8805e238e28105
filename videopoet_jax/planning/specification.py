"""The specification of one plan."""

import dataclasses
import math

from videopoet_jax.core import errors
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.planning import subjects
from videopoet_jax.planning import topologies
from videopoet_jax.training import optimizers


@dataclasses.dataclass(frozen=True)
class Specification:
  """A model on a slice, whose train step or generation is planned.

  Attributes:
    config: the model's sizes and choices, remat policy and attention included.
    space: vocabulary and grids that sizes are built from.
    layout: name of a layout, or of a unit of super-resolution.
    topology: topology that it runs on.
    batch_per_chip: sequences a chip; below one if several chips share a
      sequence.
    mesh: chips along each axis.
    rules: logical to mesh axes.
    optimizer: config of the optimizer.
    ema: whether the run keeps averaged parameters.
  """

  config: subjects.Config
  space: subjects.Space
  layout: str
  topology: topologies.Topology
  batch_per_chip: float = 1.0
  mesh: mesh_lib.MeshConfig = mesh_lib.MeshConfig(data=1, fsdp=-1)
  rules: rules_lib.Rules = rules_lib.STANDARD
  optimizer: optimizers.OptimizerConfig = optimizers.OptimizerConfig()
  ema: bool = False

  @property
  def subject(self) -> subjects.Subject:
    """The model at that size."""
    return subjects.of(self.config, self.space, self.layout)

  @property
  def batch(self) -> int:
    """Sequences of a global batch.

    Raises:
      ConfigError: it is not a whole number.
    """
    exact = self.batch_per_chip * self.topology.num_chips
    whole = round(exact)
    if whole < 1 or not math.isclose(exact, whole, rel_tol=1e-9):
      raise errors.ConfigError(
        f'--batch_per_chip {self.batch_per_chip:g} makes a global batch of '
        f'{exact:g} sequences on {self.topology.num_chips} chips; it must be '
        f'a whole number: a multiple of 1/{self.topology.num_chips}.'
      )
    return whole

  def mesh_sizes(self) -> dict[str, int]:
    """Chips along each axis, checked against topology and batch.

    Raises:
      MeshError: they do not match; the message names sizes that would.
      ConfigError: the batch is not a whole number.
    """
    sizes = mesh_lib.sizes(self.mesh, self.topology.num_chips)
    found = dict(zip(mesh_lib.AXES, sizes))
    parts = found['data'] * found['fsdp']
    if self.batch % parts:
      raise errors.MeshError(
        f'--batch_per_chip {self.batch_per_chip:g} makes a global batch of '
        f'{self.batch} sequences, which data={found["data"]} x '
        f'fsdp={found["fsdp"]} cannot split: give a multiple of '
        f'{parts / self.topology.num_chips:g} a chip, or another --mesh.'
      )
    return found


def parse_mesh(text: str, slices: int = 1) -> mesh_lib.MeshConfig:
  """Parses `fsdp=16,tensor=4`; axes left out are 1, or take the rest.

  Args:
    text: pairs; '' splits parameters over all chips of a slice.
    slices: number of slices; `data` spans them unless given.

  Raises:
    MeshError: it contains an unknown axis or an invalid number.
  """
  given: dict[str, int] = {}
  for pair in filter(None, text.split(',')):
    name, _, value = (part.strip() for part in pair.partition('='))
    if name not in mesh_lib.AXES or not value.lstrip('-').isdigit():
      hint = errors.near_names(name, mesh_lib.AXES)
      raise errors.MeshError(
        f'--mesh {text!r}: {pair!r} is no AXIS=CHIPS{hint}; expected for '
        'example --mesh fsdp=16,tensor=4, -1 for what is left.'
      )
    given[name] = int(value)
  sizes = {'data': slices, 'fsdp': -1, 'sequence': 1, 'tensor': 1} | given
  if 'fsdp' not in given and -1 in given.values():
    sizes['fsdp'] = 1
  return mesh_lib.MeshConfig(**sizes, slices=slices)
