"""Files of weights: what is read, and what is refused."""

import numpy as np
import pytest
import safetensors.numpy

from videopoet_jax.checkpoints import weights_files
from videopoet_jax.core import errors

_ARRAYS = {
  'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3),
  'b': np.array([1.5], np.float32),
}


def test_safetensors_and_npz(tmp_path):
  safetensors.numpy.save_file(_ARRAYS, tmp_path / 'w.safetensors')
  np.savez(tmp_path / 'w.npz', **_ARRAYS)
  for name in ('w.safetensors', 'w.npz'):
    found = weights_files.read(tmp_path / name)
    assert set(found) == set(_ARRAYS)
    for key, array in _ARRAYS.items():
      np.testing.assert_array_equal(found[key], array)


def test_refusals(tmp_path):
  with pytest.raises(errors.ConfigError, match='no file of weights .*ending'):
    weights_files.read(tmp_path / 'w.txt')
  with pytest.raises(errors.ConfigError, match='there is no file of weights'):
    weights_files.read(tmp_path / 'w.npz')
  for name in ('w.safetensors', 'w.npz'):
    (tmp_path / name).write_bytes(b'no weights')
    with pytest.raises(errors.ConfigError, match='cannot be read as weights'):
      weights_files.read(tmp_path / name)
  # An array of objects would run code when it is read.
  np.savez(tmp_path / 'w.npz', a=np.array([{}], object))
  with pytest.raises(errors.ConfigError, match='cannot be read'):
    weights_files.read(tmp_path / 'w.npz')


def test_files_of_pytorch(tmp_path):
  torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
  tensors = {name: torch.from_numpy(array) for name, array in _ARRAYS.items()}
  torch.save(tensors, tmp_path / 'w.pth')
  torch.save({'state_dict': tensors, 'epoch': 3}, tmp_path / 'w.ckpt')
  for name in ('w.pth', 'w.ckpt'):
    found = weights_files.read(tmp_path / name)
    assert set(found) == set(_ARRAYS)
    np.testing.assert_array_equal(found['a.weight'], _ARRAYS['a.weight'])
  torch.save([1, 2], tmp_path / 'w.pth')
  with pytest.raises(errors.ConfigError, match='holds a list'):
    weights_files.read(tmp_path / 'w.pth')
