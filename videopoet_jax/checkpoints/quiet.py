"""Keeps what Orbax says beside its errors from the screen."""

from collections.abc import Callable, Iterator
import contextlib
import logging
import sys
from typing import Any


@contextlib.contextmanager
def reading() -> Iterator[None]:
  """While a saved tree is read by itself.

  Orbax then warns that the item's folder has no metadata of a whole checkpoint,
  which lie one folder up: nothing is wrong, and nobody can do anything.
  """
  logger = logging.getLogger('absl')
  before = logger.level
  logger.setLevel(logging.ERROR)
  try:
    yield
  finally:
    logger.setLevel(before)


class _Raised(logging.Filter):
  """Drops the tracebacks that Orbax's threads log of what they raise anyway."""

  def filter(self, record: logging.LogRecord) -> bool:
    return not (record.exc_info and 'orbax' in record.pathname)


class _Unread(logging.Filter):
  """Drops asyncio's remarks on futures that nobody waits for any more."""

  def filter(self, record: logging.LogRecord) -> bool:
    return 'exception was never retrieved' not in record.getMessage()


_RAISED = _Raised()
_UNREAD = _Unread()


def saving() -> None:
  """Lets Orbax report problems only, and no error a second time.

  It reports every phase of every save; a run's own lines drown in it. Of a save
  that fails it raises the first error and closes its event loop. TensorStore's
  other writes end later: their errors reach futures that nobody reads, which
  asyncio logs, or the closed loop, which prints a traceback for each.
  """
  logger = logging.getLogger('absl')
  logger.setLevel(logging.WARNING)
  logger.addFilter(_RAISED)
  logging.getLogger('asyncio').addFilter(_UNREAD)
  if not isinstance(sys.unraisablehook, _Hook):
    sys.unraisablehook = _Hook(sys.unraisablehook)


class _Hook:
  """An `unraisablehook` that is silent about Orbax's closed event loop."""

  def __init__(self, previous: Callable[[Any], None]) -> None:
    self._previous = previous

  def __call__(self, raised: Any) -> None:
    closed = str(raised.exc_value) == 'Event loop is closed'
    if raised.exc_type is not RuntimeError or not closed:
      self._previous(raised)
