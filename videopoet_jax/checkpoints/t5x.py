"""Parameters in checkpoints that T5X wrote, read without T5X.

T5X (github.com/google-research/t5x, t5x/checkpoints.py) has written two
layouts. The published T5 checkpoints are in the first:

    checkpoint_1000000/checkpoint                            msgpack
    checkpoint_1000000/target.encoder.encoder_norm.scale/    zarr, one each

The msgpack file is flax's: the tree of the training state, in which arrays that
were sharded are replaced by TensorStore's description of where they lie, and
all others stand. The second is Orbax's:

    checkpoint_1000/state/           OCDBT, or one zarr folder an array

Arrays are opened one by one and by name, so that arrays that are not needed,
such as a decoder's or the optimizer's, are not read. A msgpack file with the
arrays in it can only be read whole.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import pathlib
from typing import Any

from flax import serialization
import numpy as np
import tensorstore

from videopoet_jax.core import errors
from videopoet_jax.core import storage

_TARGET = 'target'
_MSGPACK = 'checkpoint'
_STATE = 'state'
_OCDBT = 'manifest.ocdbt'
_ORBAX = (_OCDBT, '_METADATA')
_PLACEHOLDER = 'PLACEHOLDER://'
# In a file that describes an array: TensorStore's driver.
_DRIVERS = {'.zarray': 'zarr', 'zarr.json': 'zarr3'}
_OTHER_FILES = ('.safetensors', '.bin', '.pt', '.pth', '.json', '.model')
_DTYPES = ('float16', 'bfloat16', 'float32', 'float64')


@dataclasses.dataclass(frozen=True)
class _Stored:
  """An array in a folder of its own."""

  folder: str
  driver: str


@dataclasses.dataclass(frozen=True)
class Target:
  """The model's parameters in a checkpoint, still to be read.

  Attributes:
    path: the checkpoint, as the user gave it.
    names: names of all parameters, such as 'encoder.encoder_norm.scale'.
  """

  path: pathlib.Path
  _store: Mapping[str, Any]
  _leaves: Mapping[str, Any]

  @property
  def names(self) -> tuple[str, ...]:
    return tuple(sorted(self._leaves))

  def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Reads some of the parameters.

    Args:
      names: some of `Target.names`; another name is a KeyError.

    Returns:
      float32 arrays by name.

    Raises:
      CheckpointError: an array is missing, incomplete or damaged, or not of
        floating-point numbers.
    """
    names = tuple(names)
    # All reads are started before the first is waited for.
    pending = {}
    for name in names:
      with _Named(self.path, name):
        pending[name] = self._open(self._leaves[name])
    reading: dict[str, Any] = {}
    for name in names:
      with _Named(self.path, name):
        reading[name] = _read(pending.pop(name))
    arrays = {}
    for name in names:
      with _Named(self.path, name):
        arrays[name] = np.asarray(_result(reading.pop(name)), np.float32)
    return arrays

  def _open(self, leaf: Any) -> Any:
    if not isinstance(leaf, _Stored):
      return leaf
    store = dict(self._store)
    store['path'] = f'{store.get("path", "")}{leaf.folder}/'
    return tensorstore.open(
      {
        'driver': leaf.driver,
        'kvstore': store,
        # Otherwise a file that was not copied would be read as zeros.
        'fill_missing_data_reads': False,
      },
      open=True,
    )


def is_checkpoint(path: pathlib.Path) -> bool:
  """Whether a path looks like a checkpoint that T5X wrote."""
  return _find(path) is not None


def open_target(path: pathlib.Path) -> Target:
  """Opens a checkpoint; no array is read yet.

  Args:
    path: folder of one step, `checkpoint_1000000`, or the msgpack file in it;
      here or in a bucket.

  Raises:
    CheckpointError: there is none, it cannot be read, or it holds no model.
  """
  found = _find(path)
  if found is None:
    raise errors.CheckpointError(
      f'there is no T5X checkpoint at {path}; give the folder of one step, '
      f'such as checkpoint_1000000, that has a file {_MSGPACK!r} or a folder '
      f'{_STATE!r}.'
    )
  folder, file = found
  store: dict[str, Any] = storage.key_value_store(folder)
  if (folder / _OCDBT).is_file():
    store = {'driver': 'ocdbt', 'base': store}
  leaves = _from_msgpack(file) if file else _from_listing(path, store)
  if not leaves:
    raise errors.CheckpointError(
      f'{path} holds no model: nothing in it is named {_TARGET!r}; give a '
      'checkpoint that T5X wrote.'
    )
  return Target(path, store, leaves)


def _find(
  path: pathlib.Path,
) -> tuple[pathlib.Path, pathlib.Path | None] | None:
  """The folder of arrays, and the msgpack file where there is one."""
  if not path.is_dir():
    named = _MSGPACK in path.name and path.suffix not in _OTHER_FILES
    return (path.parent, path) if named and path.is_file() else None
  for folder in (path, path / _STATE):
    if (folder / _MSGPACK).is_file():
      return folder, folder / _MSGPACK
    if any((folder / name).is_file() for name in _ORBAX):
      return folder, None
  return None


def _from_msgpack(file: pathlib.Path) -> dict[str, Any]:
  """Names to arrays and `_Stored`."""
  try:
    tree = serialization.msgpack_restore(file.read_bytes())
    # From version 1 on the state has this name, whatever the optimizer.
    tree = tree.get('optimizer', tree).get(_TARGET, {})
    return dict(_flat(tree))
  # The msgpack package raises many kinds of errors for other files.
  except Exception as error:
    raise errors.CheckpointError(
      f'{file} cannot be read as a T5X checkpoint ({_reason(error)}); copy it '
      "again, or give T5X's if this is one of TensorFlow."
    ) from error


def _flat(tree: Mapping[str, Any], prefix: str = '') -> Iterable[Any]:
  for key, value in tree.items():
    name = f'{prefix}{key}'
    if isinstance(value, Mapping) and {'driver', 'kvstore'} <= set(value):
      # Old TensorStores had the path outside. Only its last part counts: an
      # array lies beside the file, wherever that was copied to.
      place = value['kvstore'].get('path') or value.get('path', '')
      folder = place.rstrip('/').rpartition('/')[2]
      yield name, _Stored(folder, value['driver'])
    elif isinstance(value, Mapping):
      yield from _flat(value, f'{name}.')
    elif isinstance(value, str) and value.startswith(_PLACEHOLDER):
      yield name, _Stored(value.removeprefix(_PLACEHOLDER), 'zarr')
    elif value is not None:
      yield name, value


def _from_listing(
  path: pathlib.Path, store: Mapping[str, Any]
) -> dict[str, Any]:
  """Names to `_Stored`, by the files that describe arrays."""
  # All names that begin with `target.`: the slash follows the dot.
  between = tensorstore.KvStore.KeyRange(f'{_TARGET}.', f'{_TARGET}/')
  try:
    opened = tensorstore.KvStore.open(dict(store)).result()
    keys = opened.list(between).result()
  # TensorStore raises many kinds of errors for damaged files.
  except Exception as error:
    raise errors.CheckpointError(
      f'{path} cannot be read as a T5X checkpoint ({_reason(error)}); copy it '
      'again.'
    ) from error
  leaves = {}
  for key in keys:
    folder, _, file = key.decode().rpartition('/')
    if file in _DRIVERS:
      name = folder.removeprefix(f'{_TARGET}.')
      leaves[name] = _Stored(folder, _DRIVERS[file])
  return leaves


def _read(opened: Any) -> Any:
  """Begins to read as float32; an array in memory is returned as it is."""
  if isinstance(opened, tensorstore.Future):
    stored = opened.result()
    _check_dtype(stored.dtype.name)
    return tensorstore.cast(stored, tensorstore.float32).read()
  _check_dtype(np.asarray(opened).dtype.name)
  return opened


def _result(value: Any) -> Any:
  return value.result() if isinstance(value, tensorstore.Future) else value


def _check_dtype(name: str) -> None:
  # Early T5X stored bfloat16 as uint16, which it can no longer read itself.
  if name not in _DTYPES:
    raise ValueError(f'its type is {name}, not one of {", ".join(_DTYPES)}')


class _Named:
  """Adds the array's name and the checkpoint's path to errors."""

  def __init__(self, path: pathlib.Path, name: str) -> None:
    self._path, self._name = path, name

  def __enter__(self) -> None:
    pass

  def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
    if isinstance(error, Exception):
      raise errors.CheckpointError(
        f'{self._path}: the array {_TARGET}.{self._name} cannot be read '
        f'({_reason(error)}); copy the checkpoint again, or give another.'
      ) from error


def _reason(error: BaseException) -> str:
  return (str(error).splitlines() or [''])[0][:200]
