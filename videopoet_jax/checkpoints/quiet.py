"""Keeps Orbax's remarks, apart from its errors, off the screen."""

from collections.abc import Callable, Iterator
import contextlib
import logging
import sys
from typing import Any


@contextlib.contextmanager
def reading() -> Iterator[None]:
  """Silences a warning while a saved tree is read by itself.

  Orbax then warns that the item's folder has no metadata of a whole checkpoint,
  which lie one folder up: nothing is wrong, and there is nothing to do.
  """
  logger = logging.getLogger('absl')
  before = logger.level
  logger.setLevel(logging.ERROR)
  try:
    yield
  finally:
    logger.setLevel(before)


class _Raised(logging.Filter):
  """Drops the tracebacks that Orbax's threads log for errors they raise."""

  def filter(self, record: logging.LogRecord) -> bool:
    return not (record.exc_info and 'orbax' in record.pathname)


class _Unread(logging.Filter):
  """Drops asyncio's remarks on futures that are never awaited."""

  def filter(self, record: logging.LogRecord) -> bool:
    return 'exception was never retrieved' not in record.getMessage()


_RAISED = _Raised()
_UNREAD = _Unread()


def saving() -> None:
  """Makes Orbax report only problems, and each error only once.

  By default it reports every phase of every save, which would bury a run's own
  lines. If a save fails, it raises the first error and closes its event loop.
  TensorStore's other writes end later: their errors reach futures that are
  never read, which asyncio logs, or the closed loop, which prints a traceback
  for each.
  """
  logger = logging.getLogger('absl')
  logger.setLevel(logging.WARNING)
  logger.addFilter(_RAISED)
  logging.getLogger('asyncio').addFilter(_UNREAD)
  if not isinstance(sys.unraisablehook, _Hook):
    sys.unraisablehook = _Hook(sys.unraisablehook)


class _Hook:
  """An `unraisablehook` that ignores errors of Orbax's closed event loop."""

  def __init__(self, previous: Callable[[Any], None]) -> None:
    self._previous = previous

  def __call__(self, raised: Any) -> None:
    closed = str(raised.exc_value) == 'Event loop is closed'
    if raised.exc_type is not RuntimeError or not closed:
      self._previous(raised)
