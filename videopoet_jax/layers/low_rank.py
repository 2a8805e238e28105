"""A model's parameters together with low-rank adapters for some of them.

Adapters are a Flax collection of their own, under the paths of their matrices.
`partitioning.param`, where every matrix is declared, adds a matrix's adapter to
it. So a merged matrix and its gradient exist within one layer only, and no
layer knows of adapters.
"""

import functools
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.core import low_rank

COLLECTION = 'low_rank'

# On TPUs the default would round the factors to bfloat16, and the merged
# matrices of an export would differ from the trained ones.
_matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


class Adapted(NamedTuple):
  """Parameters with adapters; takes the place of a model's parameters.

  Attributes:
    params: parameters of the base, unboxed.
    adapters: see `core.low_rank.merge_tree`; `a` already scaled.
  """

  params: Any
  adapters: Any


def variables(params: Any) -> dict[str, Any]:
  """The variables for `Module.apply`, from parameters or from `Adapted`."""
  if isinstance(params, Adapted):
    return {'params': params.params, COLLECTION: params.adapters}
  return {'params': params}


def adapted(module: nn.Module, name: str, value: jax.Array) -> jax.Array:
  """A parameter of a module with its adapter added, if it has one."""
  if not module.has_variable(COLLECTION, name):
    return value
  adapter = module.get_variable(COLLECTION, name)
  return low_rank.merge(value, adapter, _matmul)
