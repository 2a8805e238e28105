"""Reads the arrays of published files of weights.

`.safetensors` needs no PyTorch. `.ckpt`, `.pth`, `.pt` and `.bin` are pickles,
of which only tensors are read unless the caller trusts the file; TorchScript
archives (`.jit`) hold a network beside its tensors, and only these are used.
"""

from collections.abc import Mapping
import os
import pathlib
from typing import Any, Protocol, runtime_checkable
import zipfile

import numpy as np
import safetensors

from videopoet_jax.core import errors
from videopoet_jax.core import storage

SUFFIXES = ('.safetensors', '.ckpt', '.pth', '.pt', '.bin', '.jit')


@runtime_checkable
class _Tensor(Protocol):
  """What PyTorch's tensors have and nothing else in a checkpoint."""

  def detach(self) -> Any: ...

  def is_floating_point(self) -> bool: ...


# Where training scripts put the arrays inside of a checkpoint.
_INNER = ('state_dict', 'model', 'module')


def read(
  path: str | os.PathLike[str], trust: bool = False
) -> dict[str, np.ndarray]:
  """Reads one file.

  Args:
    path: the file, with one of `SUFFIXES`.
    trust: whether a pickle may hold more than tensors, hence run code.

  Returns:
    Arrays by key, float32 unless they are integers.

  Raises:
    CheckpointError: the file is missing or cannot be read, or PyTorch is
      needed and not installed.
  """
  file = storage.path(path)
  if not file.is_file():
    raise errors.CheckpointError(
      f'{file} is not a file; give a checkpoint with one of the endings'
      f' {", ".join(SUFFIXES)}.'
    )
  if file.suffix not in SUFFIXES:
    raise errors.CheckpointError(
      f'{file} does not end with one of {", ".join(SUFFIXES)}; rename it after'
      ' what it is.'
    )
  if file.suffix == '.safetensors':
    return _read_safetensors(file)
  return _read_torch(file, trust)


def _read_safetensors(file: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    # Flax's arrays support bfloat16, NumPy's do not.
    with safetensors.safe_open(file, framework='flax') as opened:
      return {name: _array(opened.get_tensor(name)) for name in opened.keys()}
  except (safetensors.SafetensorError, OSError) as error:
    raise errors.CheckpointError(
      f'{file} cannot be read as safetensors ({error}); download it again.'
    ) from error


def _is_torch_script(file: pathlib.Path) -> bool:
  try:
    with zipfile.ZipFile(file) as archive:
      return any(name.endswith('/constants.pkl') for name in archive.namelist())
  except (zipfile.BadZipFile, OSError):
    return False


def _read_torch(file: pathlib.Path, trust: bool) -> dict[str, np.ndarray]:
  try:
    import torch
  except ImportError as error:
    raise errors.CheckpointError(
      f'reading {file} needs PyTorch, and .safetensors files do not: pip'
      ' install torch.'
    ) from error
  try:
    if _is_torch_script(file):
      module = torch.jit.load(str(file), map_location='cpu')
      found: Any = module.state_dict()
    else:
      found = torch.load(file, map_location='cpu', weights_only=not trust)
  # Damaged files raise many kinds of errors.
  except Exception as error:
    reason = (str(error).splitlines() or [''])[0][:200]
    if 'weights_only' in str(error):
      raise errors.CheckpointError(
        f'{file} holds more than tensors, and unpickling it may run code; give'
        ' --trust_pickle if you trust where it is from.'
      ) from error
    raise errors.CheckpointError(
      f'{file} cannot be read as a PyTorch checkpoint ({reason}); download it'
      ' again.'
    ) from error
  for name in _INNER:
    if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
      found = found[name]
      break
  arrays = {}
  if isinstance(found, Mapping):
    arrays = {
      key: _array(value)
      for key, value in found.items()
      if isinstance(value, _Tensor)
    }
  if not arrays:
    raise errors.CheckpointError(
      f'{file} holds no tensors by name; give the file as it is published.'
    )
  return arrays


def _array(value: Any) -> np.ndarray:
  """Converts a tensor or an array; floats become float32."""
  if isinstance(value, _Tensor):
    tensor = value.detach().cpu()
    floating = tensor.is_floating_point()
    array = (tensor.float() if floating else tensor).numpy()
  else:
    array = np.asarray(value)
  if array.dtype.kind in 'iub':
    return array
  return array.astype(np.float32)
