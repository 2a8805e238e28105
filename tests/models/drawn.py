"""Random parameters, drawn without compiling an initializer."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.parallel import rules


def params(model: nn.Module, spread: float, seed: int = 0) -> Any:
  """Unboxed, normal with this standard deviation.

  Args:
    model: with a method `declare`.
    spread: standard deviation.
    seed: of the draws.
  """
  shapes = jax.eval_shape(
    lambda key: model.init(key, method='declare'), jax.random.key(0)
  )
  generator = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: jnp.asarray(
      generator.normal(size=leaf.shape) * spread, leaf.dtype
    ),
    rules.unbox(shapes['params']),
  )
