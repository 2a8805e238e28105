"""Files of published weights: what is read, and what is refused."""

import numpy as np
import pytest
import safetensors.numpy

from videopoet_jax.checkpoints import published_files
from videopoet_jax.core import errors

_ARRAYS = {
  'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3),
  'b': np.array([1.5], np.float32),
}


def test_safetensors_need_nothing_else(tmp_path):
  safetensors.numpy.save_file(_ARRAYS, tmp_path / 'w.safetensors')
  found = published_files.read(tmp_path / 'w.safetensors')
  assert set(found) == set(_ARRAYS)
  for key, array in _ARRAYS.items():
    np.testing.assert_array_equal(found[key], array)


def test_refusals(tmp_path):
  with pytest.raises(errors.CheckpointError, match='w.npz is not a file'):
    published_files.read(tmp_path / 'w.npz')
  (tmp_path / 'w.npz').write_bytes(b'no weights')
  with pytest.raises(errors.CheckpointError, match='does not end with'):
    published_files.read(tmp_path / 'w.npz')
  (tmp_path / 'w.safetensors').write_bytes(b'no weights')
  with pytest.raises(errors.CheckpointError, match='cannot be read as safe'):
    published_files.read(tmp_path / 'w.safetensors')


def test_files_of_pytorch(tmp_path):
  torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
  tensors = {name: torch.from_numpy(array) for name, array in _ARRAYS.items()}
  torch.save(tensors, tmp_path / 'w.pth')
  torch.save({'state_dict': tensors, 'epoch': 3}, tmp_path / 'w.ckpt')
  for name in ('w.pth', 'w.ckpt'):
    found = published_files.read(tmp_path / name)
    assert set(found) == set(_ARRAYS)
    np.testing.assert_array_equal(found['a.weight'], _ARRAYS['a.weight'])
  torch.save([1, 2], tmp_path / 'w.pth')
  with pytest.raises(errors.CheckpointError, match='no tensors by name'):
    published_files.read(tmp_path / 'w.pth')
  # A pickle that holds more than tensors may run code.
  torch.save({'state_dict': tensors, 'when': _Other()}, tmp_path / 'w.pth')
  with pytest.raises(errors.CheckpointError, match='--trust_pickle'):
    published_files.read(tmp_path / 'w.pth')
  found = published_files.read(tmp_path / 'w.pth', trust=True)
  assert set(found) == set(_ARRAYS)


class _Other:
  """An object of a class that PyTorch does not know."""
