"""What rules refuse of meshes and batches."""

import types

import pytest

from videopoet_jax.core import errors
from videopoet_jax.parallel import rules


def _held(monkeypatch, *rows_of_devices):
  """A mesh whose devices, two a host, hold these rows of a batch."""
  found = [
    (types.SimpleNamespace(process_index=number // 2), (rows,))
    for number, rows in enumerate(rows_of_devices)
  ]
  sharding = types.SimpleNamespace(
    devices_indices_map=lambda shape: types.SimpleNamespace(items=lambda: found)
  )
  monkeypatch.setattr(rules, 'batch_sharding', lambda mesh, rules: sharding)
  return types.SimpleNamespace(size=4, shape={'fsdp': 2, 'tensor': 2})


def test_hosts_hold_rows_of_their_own(monkeypatch):
  rules.check_hosts(_held(monkeypatch, *(slice(n, n + 1) for n in range(4))))
  # Tensor within each host.
  rules.check_hosts(
    _held(
      monkeypatch, *(slice(2 * (n // 2), 2 * (n // 2) + 2) for n in range(4))
    )
  )
  # Tensor across the two.
  mesh = _held(
    monkeypatch, *(slice(2 * (n % 2), 2 * (n % 2) + 2) for n in range(4))
  )
  with pytest.raises(errors.MeshError, match='tensor=2 hosts of 2 devices'):
    rules.check_hosts(mesh)
