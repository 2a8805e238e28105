"""Keeps TensorFlow's start-up notices off the screen.

Since 2.20 TensorFlow writes lines about oneDNN and CUDA to standard error from
C++, whatever the value of `TF_CPP_MIN_LOG_LEVEL`. Only these lines are dropped.
TensorFlow serves data only, so accelerators are hidden from it, and oneDNN,
which prints notices of its own later, is off. TFDS's log lines about itself are
dropped as well.
"""

from collections.abc import Iterator, Sequence
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import re
import sys
import tempfile
import types

_NAME = 'tensorflow'
_NOTICE = re.compile(
  rb'WARNING: All log messages before absl|I0000 |E0000 .*cuInit'
)


class _AboutItself(logging.Filter):
  """Drops TFDS's log lines about builders and its own deprecations."""

  def filter(self, record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not message.startswith(
      ('Using custom data configuration', '`FeatureConnector.dtype` is')
    )


_ABOUT_ITSELF = _AboutItself()


def install() -> None:
  """Filters the import of TensorFlow, whenever it comes."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  if _NAME not in sys.modules and _FINDER not in sys.meta_path:
    sys.meta_path.insert(0, _FINDER)


class _Finder(importlib.abc.MetaPathFinder):
  """Finds TensorFlow, and passes it to `_Loader`.

  Libraries ask whether there is a TensorFlow before one imports it, so this
  stays until it is imported.
  """

  def __init__(self) -> None:
    self._asking = False

  def find_spec(
    self,
    fullname: str,
    path: Sequence[str] | None,
    target: types.ModuleType | None = None,
  ) -> importlib.machinery.ModuleSpec | None:
    if fullname != _NAME or self._asking:
      return None
    self._asking = True
    try:
      spec = importlib.util.find_spec(fullname)
    finally:
      self._asking = False
    if spec is not None and spec.loader is not None:
      spec.loader = _Loader(spec.loader)
    return spec


_FINDER = _Finder()


class _Loader(importlib.abc.Loader):
  """Runs the module with its notices left out."""

  def __init__(self, inner: importlib.abc.Loader) -> None:
    self._inner = inner

  def create_module(
    self, spec: importlib.machinery.ModuleSpec
  ) -> types.ModuleType | None:
    return self._inner.create_module(spec)

  def exec_module(self, module: types.ModuleType) -> None:
    if module.__spec__ is not None:
      module.__spec__.loader = self._inner
    if _FINDER in sys.meta_path:
      sys.meta_path.remove(_FINDER)
    with without_notices():
      self._inner.exec_module(module)
      module.config.set_visible_devices([], 'GPU')
    logging.getLogger('absl').addFilter(_ABOUT_ITSELF)


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
  """Drops TensorFlow's notices from standard error; the rest comes after."""
  sys.stderr.flush()
  kept = os.dup(2)
  with tempfile.TemporaryFile() as caught:
    os.dup2(caught.fileno(), 2)
    try:
      yield
    finally:
      sys.stderr.flush()
      os.dup2(kept, 2)
      os.close(kept)
      caught.seek(0)
      for line in caught:
        if not _NOTICE.match(line) and line.strip():
          os.write(2, line)
