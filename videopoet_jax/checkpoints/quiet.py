"""Keeps Orbax's remarks on its own files from the screen."""

from collections.abc import Iterator
import contextlib
import logging


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


_RAISED = _Raised()


def saving() -> None:
  """Lets Orbax report problems only, and no error a second time.

  It reports every phase of every save; a run's own lines drown in it.
  """
  logger = logging.getLogger('absl')
  logger.setLevel(logging.WARNING)
  logger.addFilter(_RAISED)
