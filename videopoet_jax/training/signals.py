"""Catches the signals that ask a process to end."""

from collections.abc import Iterator
import contextlib
import os
import signal
import threading
from typing import Any

import jax


class Stop:
  """Whether a signal came: `SIGTERM`, or `SIGINT` once.

  Attributes:
    signal: number of the signal, 0 if none came.
  """

  def __init__(self) -> None:
    self.signal = 0

  def handle(self, number: int, frame: Any) -> None:
    del frame
    self.signal = number
    # Not print: the signal may have come in the middle of one.
    os.write(2, b'signal %d: the run ends when this step is saved\n' % number)
    if number == signal.SIGINT:
      # A second Ctrl-C means that the user does not want to wait for a save.
      signal.signal(signal.SIGINT, signal.default_int_handler)

  def wanted(self, step: int) -> bool:
    """Whether all hosts should stop after this step."""
    if jax.process_count() > 1:
      from jax.experimental import multihost_utils

      # One host gets the signal; all agree on the step after which they stop.
      if multihost_utils.reached_preemption_sync_point(step):
        self.signal = signal.SIGTERM
    return bool(self.signal)


@contextlib.contextmanager
def listen() -> Iterator[Stop]:
  """Catches the signals during a run; only the main thread can.

  With several processes SIGTERM is left to JAX, which passes it on to the
  others, and SIGINT ends the process.
  """
  stop = Stop()
  is_main = threading.current_thread() is threading.main_thread()
  if not is_main or jax.process_count() > 1:
    yield stop
    return
  numbers = (signal.SIGTERM, signal.SIGINT)
  before = {number: signal.signal(number, stop.handle) for number in numbers}
  try:
    yield stop
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
