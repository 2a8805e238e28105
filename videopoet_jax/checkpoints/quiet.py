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
