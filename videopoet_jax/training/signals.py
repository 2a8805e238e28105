"""Notices that the machine wants the process to end."""

from collections.abc import Iterator
import contextlib
import signal
import threading
from typing import Any

import jax


class Stop:
  """Whether a signal came; `SIGTERM`, or `SIGINT` once.

  Attributes:
    signal: number of the signal, 0 if none came.
  """

  def __init__(self) -> None:
    self.signal = 0

  def handle(self, number: int, frame: Any) -> None:
    del frame
    self.signal = number
    if number == signal.SIGINT:
      # Whoever presses Ctrl-C twice does not want to wait for a save.
      signal.signal(signal.SIGINT, signal.default_int_handler)

  def wanted(self, step: int) -> bool:
    """Whether all hosts should stop after this step."""
    if jax.process_count() > 1:
      from jax.experimental import multihost_utils

      return multihost_utils.reached_preemption_sync_point(step)
    return bool(self.signal)


@contextlib.contextmanager
def listen() -> Iterator[Stop]:
  """Catches the signals while a run goes on; only the main thread can."""
  stop = Stop()
  if threading.current_thread() is not threading.main_thread():
    yield stop
    return
  numbers = (signal.SIGTERM, signal.SIGINT)
  before = {number: signal.signal(number, stop.handle) for number in numbers}
  try:
    yield stop
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
