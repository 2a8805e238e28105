"""The cost of windowed and full attention as the grid grows."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.benchmarks import cost
from videopoet_jax.models.super_resolution import model as model_lib
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.parallel import rules
from videopoet_jax.planning import super_resolution_work

_CODES = 4096
# Once, four and sixteen times as many tokens: 64, 128 and 256 pixels square.
_GRIDS = ((5, 8, 8), (5, 16, 16), (5, 32, 32))
_KINDS = {
  'windows': ((1, 8, 4), (1, 4, 8), (5, 4, 4)),
  'full': ((5, 0, 0), (5, 0, 0), (5, 0, 0)),
}


def windows(rounds: int, batch: int = 1) -> dict[str, Any]:
  """Times a forward pass of the small model with fixed windows and without.

  Args:
    rounds: number of times that each is timed.
    batch: number of clips.

  Returns:
    For each kind and grid: tokens of a clip, seconds and their spread, bytes of
    temporaries that the compiler reserves, and FLOPs of the model.
  """
  made, functions = {}, {}
  for kind, sizes in _KINDS.items():
    config = presets.preset(
      'sr_tiny', windows=sizes, attention='xla', text_vocab_size=256,
      text_slots=16,
    )  # fmt: skip
    network = model_lib.SuperResolution(config, _CODES)
    params = jax.jit(
      lambda key, network=network: rules.unbox(
        network.init(key, method='declare')['params']
      )
    )(jax.random.key(0))
    for grid in _GRIDS:
      given = _inputs(grid, batch, config.text_slots)
      compiled = (
        jax.jit(
          lambda params, *given, network=network: network.apply(
            {'params': params}, *given
          )
        )
        .lower(params, *given)
        .compile()
      )
      name = f'{kind}/{"x".join(map(str, grid))}'
      work = super_resolution_work.of_grid(config, grid, _CODES, _CODES)
      memory = compiled.memory_analysis()
      assert memory is not None
      made[name] = {
        'tokens': int(np.prod(grid)),
        'temporary_bytes': memory.temp_size_in_bytes,
        'model_flops': batch * (work.forward - work.heads),
      }
      functions[name] = lambda c=compiled, p=params, g=given: c(p, *g)
  times = cost.alternate(functions, rounds)
  return {name: found | times[name] for name, found in made.items()}


def _inputs(
  grid: tuple[int, int, int], batch: int, slots: int
) -> tuple[jax.Array, ...]:
  """Inputs without known ids, with all conditions."""
  low = grid[0], grid[1] // 2, grid[2] // 2
  return (
    jnp.zeros((batch, *grid), jnp.int32),
    jnp.ones((batch, *grid), bool),
    jnp.zeros((batch, *low), jnp.int32),
    jnp.ones((batch,), bool),
    jnp.zeros((batch, slots), jnp.int32),
    jnp.ones((batch, slots), bool),
  )
