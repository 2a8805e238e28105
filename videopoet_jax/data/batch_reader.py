"""Numbered batches out of an endless `tf.data` pipeline."""

from collections.abc import Callable
import weakref

import numpy as np
import tensorflow as tf

from videopoet_jax.core import errors

Batch = dict[str, np.ndarray]

# Storage that does not answer now: the data are not at fault, and the run
# should be started again.
_PASSING = (
  tf.errors.UnavailableError,
  tf.errors.DeadlineExceededError,
  tf.errors.AbortedError,
)
_KEPT = 2  # Batches that may be requested again at no cost.


class Stream:
  """Reads any batch by its number; threads prepare the following ones.

  The batch after the last one read is ready; any other opens the pipeline anew.
  """

  def __init__(
    self, open_at: Callable[[int], tf.data.Dataset], name: str
  ) -> None:
    """Stores the arguments; opens nothing yet.

    Args:
      open_at: function that returns the endless batches from a number on.
      name: name of the data, for messages.
    """
    self._open_at = open_at
    self._name = name
    self._next = -1
    self._recent: dict[int, Batch] = {}
    # Iterators released before the interpreter ends; TensorFlow complains about
    # Python generators that outlive it.
    self._open: list = []
    weakref.finalize(self, self._open.clear)

  def read(self, number: int) -> Batch:
    """Returns a batch, whose arrays must not be written to.

    Raises:
      DataError: something cannot be read.
      OpError: storage does not answer.
    """
    if number in self._recent:
      # Requested twice: to compile a program and then to train on it.
      return dict(self._recent[number])
    try:
      if number != self._next:
        dataset = self._open_at(number).prefetch(_KEPT)
        dataset = dataset.with_options(_options())
        self._open[:] = [dataset.as_numpy_iterator()]
      arrays = dict(next(self._open[0]))
    except _PASSING:
      self.close()
      raise
    except (tf.errors.OpError, StopIteration) as error:
      self.close()
      reason = ' '.join(str(error).split())[:400]
      raise errors.DataError(
        f'{self._name} cannot be read: {reason}'
      ) from error
    self._next = number + 1
    self._recent[number] = arrays
    while len(self._recent) > _KEPT:
      del self._recent[next(iter(self._recent))]
    return dict(arrays)

  def close(self) -> None:
    """Closes the pipeline; a later `read` opens it again."""
    self._open.clear()
    self._recent.clear()
    self._next = -1


def _options() -> tf.data.Options:
  """Few threads and no tuning: a run reads many streams, one at a time."""
  options = tf.data.Options()
  options.autotune.enabled = False
  options.threading.private_threadpool_size = 2
  return options
