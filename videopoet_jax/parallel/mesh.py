"""The device mesh: four named axes, sized by one config.

  data      copies of the model, each with its share of the batch
  fsdp      likewise a share of the batch, and parameters split between them
  sequence  positions of a sequence
  tensor    heads, hidden units and vocabularies

One device is the mesh 1 x 1 x 1 x 1: nothing else in the code asks how many
devices there are.
"""

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import math

import flax.linen as nn
import jax
from jax.experimental import mesh_utils
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.parallel import rules as rules_lib

AXES = ('data', 'fsdp', 'sequence', 'tensor')


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """Devices along each axis; one axis may be -1 and takes the remainder.

  Attributes:
    data: copies of the model.
    fsdp: parts that parameters and optimizer state are split into, each of
      which takes a share of the batch too.
    sequence: parts of the sequence dimension.
    tensor: parts of heads, hidden units and vocabularies.
    slices: groups of devices with fast links inside and slow ones between
      (TPU slices); `data` must be a multiple, since it alone spans them.
  """

  data: int = -1
  fsdp: int = 1
  sequence: int = 1
  tensor: int = 1
  slices: int = 1

  def __post_init__(self) -> None:
    for name in AXES:
      if getattr(self, name) < 1 and getattr(self, name) != -1:
        raise errors.MeshError(
          f'MeshConfig.{name} is {getattr(self, name)}; it must be positive, '
          'or -1 for one axis to take the rest'
        )


def _suggestion(config: MeshConfig, num_devices: int) -> str:
  """Sizes near `config` that do fit."""
  sizes = {name: max(1, getattr(config, name)) for name in AXES}
  left = num_devices
  # The axes that split the model matter most to a user; data fills the rest.
  for name in ('tensor', 'sequence', 'fsdp'):
    sizes[name] = math.gcd(left, sizes[name])
    left //= sizes[name]
  sizes['data'] = left
  return ', '.join(f'{name}={sizes[name]}' for name in AXES)


def sizes(config: MeshConfig, num_devices: int) -> tuple[int, ...]:
  """Devices along each axis of `AXES`, -1 resolved.

  Args:
    config: the sizes asked for.
    num_devices: devices of all hosts.

  Raises:
    MeshError: they do not multiply to the number of devices; the message names
      sizes that would.
  """
  asked = {name: getattr(config, name) for name in AXES}
  text = ', '.join(f'{name}={size}' for name, size in asked.items())
  remedy = (
    f'set for example {_suggestion(config, num_devices)} '
    '(--gin.MeshConfig.data=...), or -1 for one axis to take the rest'
  )
  wild = [name for name, size in asked.items() if size == -1]
  if len(wild) > 1 or any(size < 1 and size != -1 for size in asked.values()):
    raise errors.MeshError(
      f'MeshConfig({text}): sizes must be positive, and at most one -1; '
      + remedy
    )
  known = math.prod(size for size in asked.values() if size != -1)
  if wild and num_devices % known == 0:
    asked[wild[0]] = num_devices // known
    known = num_devices
  if known != num_devices:
    raise errors.MeshError(
      f'MeshConfig({text}) asks for {"a multiple of " if wild else ""}{known} '
      f'devices and there are {num_devices}: {remedy}'
    )
  if config.slices < 1 or asked['data'] % config.slices:
    raise errors.MeshError(
      f'MeshConfig.data is {asked["data"]}, no multiple of the '
      f'{config.slices} slices it has to span: {remedy}'
    )
  return tuple(asked[name] for name in AXES)


def create(
  config: MeshConfig, devices: Sequence[jax.Device] | None = None
) -> jax.sharding.Mesh:
  """Makes the mesh over all devices of all hosts.

  Args:
    config: devices along each axis.
    devices: all devices unless given.

  Raises:
    MeshError: the sizes do not fit the devices.
  """
  devices = list(jax.devices() if devices is None else devices)
  shape = sizes(config, len(devices))
  if config.slices > 1 and hasattr(devices[0], 'slice_index'):
    inner = (shape[0] // config.slices, *shape[1:])
    outer = (config.slices, *(1,) * (len(AXES) - 1))
    grid = mesh_utils.create_hybrid_device_mesh(
      inner, outer, devices, allow_split_physical_axes=True
    )
  elif devices[0].platform == 'cpu':
    # No links to arrange; this order is the same in every process.
    grid = np.asarray(devices).reshape(shape)
  else:
    # An axis may take part of a torus's dimension where none is left whole, for
    # example fsdp=64 of 16 x 16 chips.
    grid = mesh_utils.create_device_mesh(
      shape, devices, allow_split_physical_axes=True
    )
  return jax.sharding.Mesh(grid, AXES)


@contextlib.contextmanager
def use(mesh: jax.sharding.Mesh, rules: rules_lib.Rules) -> Iterator[None]:
  """Makes the logical constraints of layers use this mesh and these rules."""
  with jax.set_mesh(mesh), nn.logical_axis_rules(rules):
    yield


def describe(mesh: jax.sharding.Mesh) -> str:
  """Returns one line that describes the mesh, for the start of a run."""
  device = mesh.devices.flat[0]
  shape = ' x '.join(f'{name} {size}' for name, size in mesh.shape.items())
  return f'{mesh.size} {device.platform} device(s): {shape}'
