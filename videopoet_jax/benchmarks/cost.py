"""A floor for a model's time, fair timing, and random batches.

`planning.flops` defines the model's work.
"""

from collections.abc import Callable, Mapping
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import layout as layout_lib

_MATRIX_PASSES = 8


def random_tokens(
  layout: layout_lib.SequenceLayout, batch: int, seed: int = 0
) -> np.ndarray:
  """Ids that every position admits, int32 (batch, L)."""
  generator = np.random.default_rng(seed)
  tokens_BL = np.empty((batch, layout.length), np.int32)
  for run in layout.runs:
    tokens_BL[:, run.start : run.stop] = generator.integers(
      run.range.start, run.range.stop, (batch, run.stop - run.start)
    )
  return tokens_BL


def matrix_floor(rows: int, width: int, inner: int) -> Callable[[], Any]:
  """Returns a chain of matrix products of the model's size, as a function.

  Args:
    rows: number of tokens of a batch.
    width: width of the model.
    inner: width of its MLP.

  Returns:
    A function that runs `floor_flops` of the same arguments.
  """
  key = jax.random.key(0)
  x_ND = jax.random.normal(key, (rows, width))
  up_DM = jax.random.normal(key, (width, inner)) / width**0.5
  down_MD = jax.random.normal(key, (inner, width)) / inner**0.5

  @jax.jit
  def run(x_ND: jax.Array) -> jax.Array:
    for _ in range(_MATRIX_PASSES):
      x_ND = jnp.dot(jnp.dot(x_ND, up_DM), down_MD)
    return x_ND

  return lambda: run(x_ND)


def floor_flops(rows: int, width: int, inner: int) -> float:
  """FLOPs of one call of `matrix_floor`'s function."""
  return 4.0 * rows * width * inner * _MATRIX_PASSES


def alternate(
  functions: Mapping[str, Callable[[], Any]], rounds: int
) -> dict[str, dict[str, float]]:
  """Times functions in turn, so that a busy moment affects all of them.

  Args:
    functions: functions by name; each is called twice before, to compile.
    rounds: number of times that each is timed.

  Returns:
    For each name `seconds` (the median) and `spread` (the distance between the
    quartiles as a share of the median).
  """
  for function in functions.values():
    for _ in range(2):
      jax.block_until_ready(function())
  times: dict[str, list[float]] = {name: [] for name in functions}
  for _ in range(rounds):
    for name, function in functions.items():
      started = time.perf_counter()
      jax.block_until_ready(function())
      times[name].append(time.perf_counter() - started)
  return {name: _summary(values) for name, values in times.items()}


def _summary(values: list[float]) -> dict[str, float]:
  median = statistics.median(values)
  if len(values) < 2:
    return {'seconds': median, 'spread': 0.0}
  low, _, high = statistics.quantiles(values, n=4, method='inclusive')
  return {'seconds': median, 'spread': (high - low) / median}
