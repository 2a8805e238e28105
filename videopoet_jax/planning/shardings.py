"""The sharding of every parameter on a mesh, computed without devices."""

from collections.abc import Mapping
import math
from typing import Any

import jax

from videopoet_jax.core import tasks
from videopoet_jax.models.prefix_lm import config as config_lib
from videopoet_jax.models.prefix_lm import model as model_lib
from videopoet_jax.parallel import mesh as mesh_lib
from videopoet_jax.parallel import rules as rules_lib


def table(
  config: config_lib.PrefixLMConfig,
  space: tasks.LayoutSpace,
  sizes: Mapping[str, int],
  rules: rules_lib.Rules = rules_lib.STANDARD,
) -> dict[str, tuple[str, int]]:
  """Returns partition and bytes a chip of every parameter.

  Args:
    config: config of the model.
    space: layout space with its vocabulary.
    sizes: chips along each mesh axis; those left out are 1.
    rules: logical to mesh axes.

  Returns:
    By path (`stack/layers/block/mlp/up`): the mesh axes of each dimension
    (`(None, 'fsdp', 'tensor')`), and bytes on one chip.
  """
  # It has sizes and no devices, which is all that shardings need.
  mesh: Any = jax.sharding.AbstractMesh(
    tuple(sizes.get(axis, 1) for axis in mesh_lib.AXES), mesh_lib.AXES
  )
  model = model_lib.PrefixLM(config, space.vocabulary)
  boxed = jax.eval_shape(
    lambda key: model.init(key, method='declare')['params'], jax.random.key(0)
  )
  shapes = rules_lib.unbox(boxed)
  placed: Any = rules_lib.shardings(boxed, mesh, rules)
  found = {}
  for (path, leaf), sharding in zip(
    jax.tree_util.tree_leaves_with_path(shapes), jax.tree.leaves(placed)
  ):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    share = math.prod(sharding.shard_shape(leaf.shape))
    spec = tuple(sharding.spec)
    found[name] = (str(spec), share * leaf.dtype.itemsize)
  return found
