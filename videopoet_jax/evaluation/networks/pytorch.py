"""Common code of PyTorch networks: the import, weights, fixed chunks."""

from collections.abc import Callable
import importlib
import pathlib
import sys
from typing import Any

import numpy as np

from videopoet_jax.core import errors


def imported(module: str, package: str = 'torch', extra: str = 'eval') -> Any:
  """Imports a module of an optional package.

  Afterwards no module that loads PyTorch finds Triton, unless it is already
  loaded.

  Raises:
    ConfigError: it is not installed, or incompatible with another package.
  """
  # PyTorch's CUDA builds look for Triton, and loading it into a process that
  # has TensorFlow is a segmentation fault (tensorflow/tensorflow#124205, seen
  # with 2.21 and Triton 3.7). Only `torch.compile` needs it.
  sys.modules.setdefault('triton', None)  # type: ignore[arg-type]
  try:
    return importlib.import_module(module)
  except ImportError as error:
    raise errors.ConfigError(
      f'this network needs {package}, which is not installed ({error}): '
      f"pip install 'videopoet_jax[{extra}]'."
    ) from error
  except RuntimeError as error:
    # torchvision with a PyTorch that it was not built for.
    raise errors.ConfigError(
      f'{package} cannot be used here ({error}); install builds of PyTorch and '
      'torchvision that belong together.'
    ) from error


def device() -> str:
  """The device of networks: the first GPU, else the CPU."""
  return 'cuda' if imported('torch').cuda.is_available() else 'cpu'


def state_dict(path: pathlib.Path) -> dict[str, Any]:
  """Reads the tensors of a `.pth` file; nothing else in it is executed.

  Raises:
    ConfigError: it is not such a file.
  """
  torch = imported('torch')
  try:
    tensors = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # The kind depends on what the file is.
    reason = str(error).splitlines()[0]
    raise errors.ConfigError(
      f'{path} is no state dict of PyTorch ({reason}); give the file as it is '
      'published.'
    ) from error
  if not isinstance(tensors, dict):
    raise errors.ConfigError(
      f'{path} holds a {type(tensors).__name__}, no state dict; give the file '
      'as it is published.'
    )
  return tensors


def fill(module: Any, tensors: dict[str, Any], path: pathlib.Path) -> Any:
  """Loads weights into a module, frozen and ready to use.

  Raises:
    ConfigError: names or shapes do not match.
  """
  try:
    module.load_state_dict(tensors)
  except RuntimeError as error:
    lines = [line.strip() for line in str(error).splitlines()[1:3]]
    raise errors.ConfigError(
      f'{path} holds the weights of another network: {" ".join(lines)[:300]}'
    ) from error
  return module.eval().requires_grad_(False).to(device())


def in_chunks(
  function: Callable[..., Any], arrays: tuple[np.ndarray, ...], size: int
) -> np.ndarray:
  """Calls a network on chunks of one size.

  Libraries choose their algorithms by shape, and round differently. So every
  call has the same shape, the last one filled up with repetitions, and a
  sample's features do not depend on the size of the batch.

  Args:
    function: function from tensors of `size` samples to one tensor.
    arrays: arrays of the same length, at least 1.
    size: samples a chunk.

  Returns:
    float32 outputs, one a sample.
  """
  torch = imported('torch')
  count = len(arrays[0])
  outputs = []
  with torch.inference_mode():
    for start in range(0, count, size):
      index = np.minimum(np.arange(start, start + size), count - 1)
      chunk = [
        torch.from_numpy(np.ascontiguousarray(array[index])).to(device())
        for array in arrays
      ]
      output = function(*chunk).float().cpu().numpy()
      outputs.append(output[: count - start])
  return np.concatenate(outputs)
