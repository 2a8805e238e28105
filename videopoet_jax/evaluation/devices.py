"""Spreads a generator over the devices of this host.

Hosts share samples and not programs: each has a mesh of its own devices, so
that none waits for another before the end.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import math
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec

from videopoet_jax.inference import generator as generator_lib
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib

_BATCH_AXES = ('data', 'fsdp')


@dataclasses.dataclass(frozen=True)
class Devices:
  """The devices that generate.

  Attributes:
    mesh: of this host's devices.
    rules: logical to mesh axes, of the parameters.
  """

  mesh: jax.sharding.Mesh
  rules: rules_lib.Rules = rules_lib.STANDARD

  @classmethod
  def create(cls, config: mesh_lib.MeshConfig | None = None) -> 'Devices':
    """All devices of this host, in copies of the model unless told else."""
    return cls(
      mesh_lib.create(config or mesh_lib.MeshConfig(), jax.local_devices())
    )

  @property
  def parts(self) -> int:
    """Parts that a batch is cut into."""
    return math.prod(self.mesh.shape[axis] for axis in _BATCH_AXES)

  def batch_size(self, wanted: int) -> int:
    """The size at least as large that the devices divide."""
    return -(-wanted // self.parts) * self.parts

  def spread(
    self, generator: generator_lib.Generator
  ) -> generator_lib.Generator:
    """The same generator on all devices; as it is where there is one."""
    if self.mesh.size == 1:
      return generator
    shapes = jax.eval_shape(
      lambda key: generator.model.init(key, method='declare'),
      jax.random.key(0),
    )
    where = rules_lib.shardings(shapes['params'], self.mesh, self.rules)
    for tokenizer in (generator.tokenizers.visual, generator.tokenizers.audio):
      if tokenizer is not None:
        whole = NamedSharding(self.mesh, PartitionSpec())
        tokenizer.params = jax.device_put(tokenizer.params, whole)
        tokenizer.place = self._place
    return dataclasses.replace(
      generator,
      params=jax.device_put(generator.params, where),
      place=self._place,
    )

  def _place(self, array: Any) -> jax.Array:
    """Rows of a batch, each on one device where they divide."""
    divides = array.shape[0] % self.parts == 0
    spec = PartitionSpec(_BATCH_AXES if divides else None)
    return jax.device_put(array, NamedSharding(self.mesh, spec))

  @contextlib.contextmanager
  def use(self) -> Iterator[None]:
    """While it generates: lets the constraints of layers mean this mesh."""
    if self.mesh.size == 1:
      yield
      return
    with mesh_lib.use(self.mesh, self.rules):
      yield
