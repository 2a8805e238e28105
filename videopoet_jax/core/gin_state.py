"""A gin configuration of one's own, for functions that a notebook calls."""

from collections.abc import Iterator
import contextlib
import copy
from typing import Any

from gin import config as gin_config

# What `gin.clear_config`, parsing and `core.config.parse` change, by name:
# gin has no public way to save and restore it.
_CONTAINERS = (
  '_CONFIG', '_CONFIG_PROVENANCE', '_IMPORTS', '_OPERATIVE_CONFIG',
  '_SINGLETONS', '_FILE_READERS', '_LOCATION_PREFIXES',
)  # fmt: skip
_LOCK = '_CONFIG_IS_LOCKED'


@contextlib.contextmanager
def isolated() -> Iterator[None]:
  """Begins with the caller's gin configuration, and puts it back at the end."""
  before = {
    name: _copy(getattr(gin_config, name))
    for name in _CONTAINERS
    if hasattr(gin_config, name)
  }
  locked = getattr(gin_config, _LOCK)
  setattr(gin_config, _LOCK, False)
  try:
    yield
  finally:
    for name, found in before.items():
      setattr(gin_config, name, found)
    setattr(gin_config, _LOCK, locked)


def _copy(container: Any) -> Any:
  """A copy two levels deep: a deep one would call what a reference names."""
  if isinstance(container, dict):
    return {key: copy.copy(value) for key, value in container.items()}
  return copy.copy(container)
