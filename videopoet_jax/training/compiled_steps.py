"""The compiled programs of a run: one training step for each unit.

They are compiled in a thread, in the order in which they are first needed, so
that training begins with the first one. Compiled programs are kept on disk: a
second start of the same run only reads them.
"""

from collections.abc import Callable, Mapping, Sequence
import concurrent.futures
import os
import time
from typing import Any

import jax

from videopoet_jax.core import storage
from videopoet_jax.parallel import start

CACHE_VARIABLE = 'JAX_COMPILATION_CACHE_DIR'


def keep_on_disk(
  directory: str | os.PathLike[str] | None = None,
  log: Callable[[str], None] = print,
) -> None:
  """Turns the persistent cache of compiled programs on.

  Args:
    directory: its folder; unless given or set already by
      JAX_COMPILATION_CACHE_DIR, `videopoet_jax/programs` in the user's folder
      of caches. Where there is none, programs are not kept.
    log: takes a line that says so.
  """
  # `values`, since not every JAX declares the option's own attribute.
  if jax.config.values['jax_compilation_cache_dir'] and directory is None:
    return
  chosen = directory or os.environ.get(CACHE_VARIABLE)
  if not chosen:
    caches = storage.cache_folder()
    if caches is None:
      log(
        'compiled programs are not kept: there is no home folder; set '
        f'{CACHE_VARIABLE} to a folder to keep them'
      )
      return
    chosen = caches / 'programs'
  jax.config.update('jax_compilation_cache_dir', str(chosen))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 1.0)


def first_steps(unit_at: Callable[[int], str], steps: range) -> dict[str, int]:
  """The first step of each unit that occurs, in that order."""
  first: dict[str, int] = {}
  for step in steps:
    first.setdefault(unit_at(step), step)
  return first


class CompiledSteps:
  """Compiled functions by unit, compiled ahead of their first use."""

  def __init__(
    self,
    units: Sequence[str],
    compile_unit: Callable[[str], Any],
    *,
    in_background: bool,
  ) -> None:
    """Starts compiling.

    Args:
      units: in the order of their first use.
      compile_unit: makes the compiled program of a unit.
      in_background: whether to compile in a thread; otherwise each unit is
        compiled when it is first asked for.
    """
    self._compile = compile_unit
    self._done: dict[str, Any] = {}
    self._pool = None
    self._futures: Mapping[str, concurrent.futures.Future] = {}
    self.seconds = 0.0
    if in_background and len(units) > 1:
      self._pool = concurrent.futures.ThreadPoolExecutor(1, 'compile')
      self._futures = {
        unit: self._pool.submit(self._timed, unit) for unit in units
      }

  def _timed(self, unit: str) -> Any:
    start = time.monotonic()
    program = self._compile(unit)
    self.seconds += time.monotonic() - start
    return program

  def get(self, unit: str) -> Any:
    """The program of a unit; waits for it if need be."""
    if unit not in self._done:
      if unit in self._futures:
        self._done[unit] = self._futures[unit].result()
      else:
        self._done[unit] = self._timed(unit)
      # Hosts compile at their own pace, and a collective does not wait long.
      start.barrier(f'program {unit}')
    return self._done[unit]

  def close(self) -> None:
    if self._pool is not None:
      self._pool.shutdown(wait=True, cancel_futures=True)
