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
from videopoet_jax.tokenizers import interface

_BATCH_AXES = ('data', 'fsdp')


@dataclasses.dataclass(frozen=True)
class Devices:
  """The devices of one host for generation.

  Attributes:
    mesh: mesh of this host's devices.
    rules: logical to mesh axes for the parameters.
  """

  mesh: jax.sharding.Mesh
  rules: rules_lib.Rules = rules_lib.STANDARD

  @classmethod
  def create(cls, config: mesh_lib.MeshConfig | None = None) -> 'Devices':
    """All devices of this host, with copies of the model by default."""
    return cls(
      mesh_lib.create(config or mesh_lib.MeshConfig(), jax.local_devices())
    )

  @property
  def parts(self) -> int:
    """Number of parts that a batch is divided into."""
    return math.prod(self.mesh.shape[axis] for axis in _BATCH_AXES)

  def batch_size(self, wanted: int) -> int:
    """The smallest size of at least `wanted` that the devices divide."""
    return -(-wanted // self.parts) * self.parts

  def spread(
    self, generator: generator_lib.Generator
  ) -> generator_lib.Generator:
    """Puts the generator on all devices; returns it unchanged with one."""
    if self.mesh.size == 1:
      return generator
    shapes = jax.eval_shape(
      lambda key: generator.model.init(key, method='declare'),
      jax.random.key(0),
    )
    where = rules_lib.shardings(shapes['params'], self.mesh, self.rules)
    for tokenizer in (generator.tokenizers.visual, generator.tokenizers.audio):
      if tokenizer is not None:
        self.spread_tokenizer(tokenizer)
    return dataclasses.replace(
      generator,
      params=jax.device_put(generator.params, where),
      place=self._place,
    )

  def spread_tokenizer(self, tokenizer: Any) -> None:
    """Copies a tokenizer to all devices, if it is one that can be placed."""
    if self.mesh.size == 1 or not isinstance(
      tokenizer, interface.TokenizerBundle
    ):
      return
    whole = NamedSharding(self.mesh, PartitionSpec())
    tokenizer.params = jax.device_put(tokenizer.params, whole)
    tokenizer.place = self._place

  def _place(self, array: Any) -> jax.Array:
    """Puts rows of a batch on the devices, sharded if they divide."""
    divides = array.shape[0] % self.parts == 0
    spec = PartitionSpec(_BATCH_AXES if divides else None)
    return jax.device_put(array, NamedSharding(self.mesh, spec))

  @contextlib.contextmanager
  def use(self) -> Iterator[None]:
    """Makes the constraints of layers use this mesh during generation."""
    if self.mesh.size == 1:
      yield
      return
    with mesh_lib.use(self.mesh, self.rules):
      yield
