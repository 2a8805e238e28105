"""What rules refuse of meshes and batches."""

import dataclasses
import types

import pytest

from videopoet_jax.core import errors
from videopoet_jax.parallel import rules


@dataclasses.dataclass(frozen=True)
class _Device:
  number: int
  process_index: int


def _held(monkeypatch, *rows_of_devices, hosts=2):
  """A mesh whose devices, equally many a host, hold these rows of a batch."""
  size = len(rows_of_devices)
  found = {
    _Device(n, process_index=n * hosts // size): (rows,)
    for n, rows in enumerate(rows_of_devices)
  }
  sharding = types.SimpleNamespace(devices_indices_map=lambda shape: found)
  monkeypatch.setattr(rules, 'batch_sharding', lambda mesh, rules: sharding)
  return types.SimpleNamespace(size=size, shape={'fsdp': 2, 'tensor': 2})


def _parts(mesh, hosts=2):
  return [rules.part_of_batch(mesh, process=host) for host in range(hosts)]


def test_hosts_hold_parts_of_their_own(monkeypatch):
  each = [slice(n, n + 1) for n in range(4)]
  assert _parts(_held(monkeypatch, *each)) == [(0, 2), (1, 2)]
  # A mesh may put the first rows on any host.
  assert _parts(_held(monkeypatch, *each[::-1])) == [(1, 2), (0, 2)]
  apart = (each[0], each[2], each[1], each[3])
  assert _parts(_held(monkeypatch, *apart)) == [(0, 2), (1, 2)]
  # Tensor within each host.
  halves = [slice(0, 2), slice(0, 2), slice(2, 4), slice(2, 4)]
  assert _parts(_held(monkeypatch, *halves)) == [(0, 2), (1, 2)]


def test_hosts_along_tensor_hold_the_same_part(monkeypatch):
  # Two hosts; tensor across them.
  turns = [slice(0, 2), slice(2, 4), slice(0, 2), slice(2, 4)]
  assert _parts(_held(monkeypatch, *turns)) == [(0, 1), (0, 1)]
  # Four hosts of one device.
  mesh = _held(monkeypatch, *turns, hosts=4)
  assert _parts(mesh, 4) == [(0, 2), (1, 2), (0, 2), (1, 2)]


def test_hosts_do_not_share_some_rows_alone(monkeypatch):
  third = [slice(0, 2), slice(2, 4), slice(4, 6)]
  across = (third[0], third[0], third[1], third[1], third[2], third[2])
  mesh = _held(monkeypatch, *across)
  with pytest.raises(errors.MeshError, match='tensor=2 hosts of 3 devices'):
    rules.part_of_batch(mesh, process=0)
