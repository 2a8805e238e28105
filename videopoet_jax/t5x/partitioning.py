"""T5X's partitioner with this project's mesh and rules."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import functools
from typing import Any

from flax import traverse_util
import flax.linen as nn
import gin
import jax
from t5x import partitioning
from t5x import train_state as train_state_lib

from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib
from videopoet_jax.t5x import experiment

_Spec = jax.sharding.PartitionSpec


class MeshPartitioner(partitioning.BasePjitPartitioner):
  """Shards parameters and moments as this project's own loop does.

  T5X's partitioners have the axes `data` and `model`, fail if an axis does not
  divide a dimension, and enter the mesh in a way that layers' sharding
  constraints do not see.
  """

  def __init__(
    self, mesh: jax.sharding.Mesh, rules: rules_lib.Rules = rules_lib.STANDARD
  ) -> None:
    """Stores a mesh.

    Args:
      mesh: the mesh of all devices (`parallel.mesh.create`).
      rules: logical to mesh axes.
    """
    super().__init__(num_partitions=1)
    self._mesh_of_run = mesh
    self._rules = rules
    axes = rules_lib.batch_sharding(mesh, rules).spec[0]
    self._data_axis = axes if isinstance(axes, str) else tuple(axes)

  @property
  def mesh(self) -> jax.sharding.Mesh:
    return self._mesh_of_run

  @property
  def logical_axis_rules(self) -> rules_lib.Rules:
    return self._rules

  @property
  def use_shardy_partitioner(self) -> bool:
    return jax.config.read('jax_use_shardy_partitioner')

  @property
  def data_shards(self) -> int:
    return rules_lib.part_of_batch(self.mesh, self._rules)[1]

  @property
  def data_shard_id(self) -> int:
    return rules_lib.part_of_batch(self.mesh, self._rules)[0]

  def get_mesh_axes(
    self, train_state: train_state_lib.TrainState
  ) -> train_state_lib.TrainState:
    """Returns a PartitionSpec for every array of a train state.

    Args:
      train_state: shapes, with `params_axes`.
    """
    logical = train_state.as_logical_axes()
    names = traverse_util.flatten_dict(logical.state_dict(), sep='/')
    shapes = traverse_util.flatten_dict(train_state.state_dict(), sep='/')
    specs = {
      path: axes
      and rules_lib.sharding(
        shapes[path].shape, axes, self.mesh, self._rules
      ).spec
      for path, axes in names.items()
    }
    return logical.restore_state(traverse_util.unflatten_dict(specs, sep='/'))

  def partition(
    self,
    fn: Callable[..., Any],
    in_axis_resources: Any,
    out_axis_resources: Any,
    static_argnums: int | Sequence[int] = (),
    donate_argnums: int | Sequence[int] = (),
  ) -> Any:
    """Compiles a function for the mesh, see T5X.

    Args:
      fn: function to compile.
      in_axis_resources: PartitionSpecs of the arguments, None for a copy on
        every device; a prefix of their trees.
      out_axis_resources: PartitionSpecs of the results, in the same form.
      static_argnums: see `jax.jit`.
      donate_argnums: see `jax.jit`.
    """
    jitted = jax.jit(
      fn,
      in_shardings=self._shardings(in_axis_resources),
      out_shardings=self._shardings(out_axis_resources),
      static_argnums=static_argnums,
      donate_argnums=donate_argnums,
    )
    return _InMesh(jitted, self.mesh, self._rules)

  def _shardings(self, resources: Any) -> Any:
    return jax.tree.map(
      lambda spec: jax.sharding.NamedSharding(
        self.mesh, _Spec() if spec is None else spec
      ),
      resources,
      is_leaf=lambda x: x is None or isinstance(x, _Spec),
    )


class _InMesh:
  """A compiled function that is traced and called within the mesh."""

  def __init__(
    self, jitted: Any, mesh: jax.sharding.Mesh, rules: rules_lib.Rules
  ) -> None:
    self._jitted = jitted
    self._mesh = mesh
    self._rules = rules
    self._within = functools.partial(mesh_lib.use, mesh, rules)

  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    traced = (isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(args))
    # An export traces it within a program, where only the abstract mesh may be
    # set.
    with self._within_program() if any(traced) else self._within():
      return self._jitted(*args, **kwargs)

  @contextlib.contextmanager
  def _within_program(self) -> Iterator[None]:
    mesh = jax.sharding.use_abstract_mesh(self._mesh.abstract_mesh)
    with mesh, nn.logical_axis_rules(self._rules):
      yield

  def lower(self, *args: Any, **kwargs: Any) -> Any:
    with self._within():
      return self._jitted.lower(*args, **kwargs)


@gin.register
def mesh_partitioner() -> MeshPartitioner:
  """The partitioner of the run's `MeshConfig` and rules."""
  made = experiment.current()
  return MeshPartitioner(made.mesh, made.rules)
