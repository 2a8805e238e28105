"""Stand-ins for modules that T5X imports and that cannot be installed.

T5X's `utils` names classes of AirIO in type hints and checks whether a data set
is one of AirIO's; its `optimizers` wraps an optimizer of JEstimator. Neither
package of that time works with the package index's versions of JAX and Grain. A
stand-in is made only if the module is missing, has just the names that T5X
mentions, and raises nothing until one of them is used.
"""

import importlib.util
import sys
import types
from typing import Any
import warnings

from videopoet_jax.core import errors

COMMIT = 'cc342d419ec3e3e9c4bf1df33c82330cafdc1e16'
_INSTALL = (
  "pip install --no-deps 'git+https://github.com/google-research/t5x@"
  f"{COMMIT}' && pip install --no-deps fiddle==0.3.1 cached_property==2.0.1 "
  'jaxtyping==0.3.11 wadler_lindig libcst'
)


def install() -> None:
  """Makes T5X importable.

  Raises:
    ConfigError: T5X, or one of the small packages that it imports, is missing.
  """
  if not _exists('airio.core'):
    _module('airio.core', **_airio())
  # Its release on the package index imports names that JAX no longer has.
  if not _exists('jestimator') or not _works('jestimator.amos'):
    _module('jestimator')
    _module('jestimator.amos', amos=_no_amos, ScaleByAmosState=_AmosState)
    _module('jestimator.amos_helper', state_partition_rule=_no_amos)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Of what T5X uses of old versions.
      import t5x.trainer  # noqa: F401
  except ImportError as error:
    raise errors.ConfigError(
      f'T5X cannot be imported ({error}). Install it with: {_INSTALL}'
    ) from error


def _exists(name: str) -> bool:
  try:
    return name in sys.modules or importlib.util.find_spec(name) is not None
  except ModuleNotFoundError:  # The package that would contain it is missing.
    return False


def _works(name: str) -> bool:
  try:
    importlib.import_module(name)
  except (ImportError, AttributeError):
    return False
  return True


def _module(name: str, **contents: Any) -> None:
  """Registers a module with these contents as imported."""
  parent, _, last = name.rpartition('.')
  if parent and parent not in sys.modules:
    _module(parent)
  made = types.ModuleType(name, 'A stand-in, see videopoet_jax.t5x.shims.')
  made.__dict__.update(contents)
  made.__path__ = []
  sys.modules[name] = made
  if parent:
    setattr(sys.modules[parent], last, made)


class _AmosState:
  """No state is one of Amos's."""


def _no_amos(*args: Any, **kwargs: Any) -> Any:
  del args, kwargs
  raise errors.ConfigError(
    'the optimizer amos needs the package jestimator, which is not installed; '
    'choose another'
  )


def _airio() -> dict[str, Any]:
  names = ('Task', 'Mixture', 'AirIODatasetIterator', 'DatasetProviderBase')
  contents: dict[str, Any] = {name: type(name, (), {}) for name in names}
  contents['dataset_providers'] = types.SimpleNamespace()
  return contents
