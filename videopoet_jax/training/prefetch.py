"""Makes the next host batch while the devices work on this one."""

from collections.abc import Mapping
import concurrent.futures

import numpy as np

from videopoet_jax.training import batches as batches_lib


class Prefetch:
  """The batches of consecutive steps, one step ahead, in a thread.

  A batch is a pure function of the step, so prefetching changes no result.
  """

  def __init__(
    self, batches: batches_lib.Batches, total_steps: int, ahead: int = 2
  ) -> None:
    self._batches = batches
    self._total_steps = total_steps
    self._ahead = ahead
    self._pool = concurrent.futures.ThreadPoolExecutor(1, 'prefetch')
    self._pending: dict[int, concurrent.futures.Future] = {}

  def batch(self, step: int) -> Mapping[str, np.ndarray]:
    """Returns the batch of a step and starts to prepare the next."""
    for later in range(step, min(step + 1 + self._ahead, self._total_steps)):
      if later not in self._pending:
        self._pending[later] = self._pool.submit(self._batches.batch, later)
    return self._pending.pop(step).result()

  def close(self) -> None:
    self._pool.shutdown(wait=True, cancel_futures=True)
