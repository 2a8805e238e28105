"""Files of weights that others publish, as numpy arrays by name.

`.safetensors` and `.npz` need nothing else; PyTorch's own files (`.pth`, `.pt`,
`.ckpt`) need PyTorch, an extra.
"""

import os
import pathlib

import numpy as np

from videopoet_jax.core import errors

_TORCH = ('.pth', '.pt', '.ckpt', '.bin')
SUFFIXES = ('.safetensors', '.npz', *_TORCH)


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
  """Reads all arrays of a file of weights; nothing in it is executed.

  Args:
    path: a local file; its ending says what it is.

  Returns:
    Arrays by name. A checkpoint that keeps its weights under `state_dict` or
    `model` is read there.

  Raises:
    ConfigError: it is missing, of another kind, damaged, or needs PyTorch,
      which is not installed.
  """
  file = pathlib.Path(path)
  if file.suffix not in SUFFIXES:
    raise errors.ConfigError(
      f'{file} is no file of weights by its ending; expected one of '
      f'{", ".join(SUFFIXES)}.'
    )
  if not file.is_file():
    raise errors.ConfigError(
      f'there is no file of weights {file}; give the path of a '
      f'{", ".join(SUFFIXES)} file.'
    )
  try:
    if file.suffix == '.safetensors':
      import safetensors.numpy

      return dict(safetensors.numpy.load_file(file))
    if file.suffix == '.npz':
      with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
    return _torch(file)
  except errors.UserError:
    raise
  except Exception as error:  # The kind depends on what the file is.
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise errors.ConfigError(
      f'{file} cannot be read as weights ({reason}); give the file as it is '
      'published.'
    ) from error


def _torch(file: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    import torch
  except ImportError as error:
    raise errors.ConfigError(
      f'{file} is a file of PyTorch, which is not installed: pip install '
      "'videopoet_jax[eval]', or convert it to .safetensors elsewhere."
    ) from error
  found = torch.load(file, map_location='cpu', weights_only=True)
  for key in ('state_dict', 'model'):
    if isinstance(found, dict) and isinstance(found.get(key), dict):
      found = found[key]
  if not isinstance(found, dict):
    raise errors.ConfigError(
      f'{file} holds a {type(found).__name__}, no weights by name; give the '
      'file as it is published.'
    )
  return {
    name: tensor.detach().float().numpy()
    for name, tensor in found.items()
    if isinstance(tensor, torch.Tensor)
  }
