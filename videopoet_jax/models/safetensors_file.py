"""Reads `.safetensors` files: a header in JSON, then the raw arrays.

The format is small enough to need no package: eight bytes hold the length of
the header, which says dtype, shape and place of each array.
"""

from collections.abc import Callable
import json
import math
import os
import pathlib
import struct
from typing import Any

import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors

_DTYPES: dict[str, np.dtype[Any]] = {
  'F64': np.dtype('<f8'),
  'F32': np.dtype('<f4'),
  'F16': np.dtype('<f2'),
  'BF16': np.dtype(jnp.bfloat16),
  'I64': np.dtype('<i8'),
  'I32': np.dtype('<i4'),
}
_LENGTH_BYTES = 8


def read(
  path: str | os.PathLike[str],
  wanted: Callable[[str], bool] = lambda name: True,
) -> dict[str, np.ndarray]:
  """Reads the arrays of a file.

  Args:
    path: the file.
    wanted: says by its name whether an array is read.

  Returns:
    Names to arrays, mapped from the file rather than held in memory.

  Raises:
    CheckpointError: it is missing, damaged, or holds another dtype.
  """
  path = pathlib.Path(path)
  try:
    with path.open('rb') as file:
      (length,) = struct.unpack('<Q', file.read(_LENGTH_BYTES))
      if length > path.stat().st_size:
        raise ValueError('the header is longer than the file')
      header = json.loads(file.read(length))
    start = _LENGTH_BYTES + length
    content = np.memmap(path, np.uint8, 'r', offset=start)
    arrays = {}
    for name, entry in header.items():
      if name == '__metadata__' or not wanted(name):
        continue
      if entry['dtype'] not in _DTYPES:
        raise ValueError(f'{name} has the dtype {entry["dtype"]}')
      dtype, shape = _DTYPES[entry['dtype']], tuple(entry['shape'])
      first, last = entry['data_offsets']
      size = math.prod(shape) * dtype.itemsize
      if last - first != size or last > content.size:
        raise ValueError(f'{name} is cut off')
      arrays[name] = content[first:last].view(dtype).reshape(shape)
    return arrays
  except (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    struct.error,
  ) as error:
    raise errors.CheckpointError(
      f'{path} cannot be read as safetensors ({error}); download it again.'
    ) from error
