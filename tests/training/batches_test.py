"""Where batches come from: shapes, parts of a batch, and the first ones."""

import types

import jax
import numpy as np
import pytest

from tests.training import tiny
from videopoet_jax.core import errors
from videopoet_jax.training import batches as batches_lib


class _Parts(tiny.TinyBatches):
  """Notes which part it is to read."""

  def __init__(self):
    super().__init__()
    object.__setattr__(self, 'seen', [])

  def read_part(self, index, count):
    self.seen.append((index, count))

  def divide(self, parts):
    self.seen.append(parts)


def test_an_example_is_a_batch_or_its_shapes():
  plain = tiny.TinyBatches()
  found = batches_lib.example(plain, 'b/large', 3)
  np.testing.assert_array_equal(found['inputs'], plain.batch(3)['inputs'])
  shapes = types.SimpleNamespace(shapes=lambda unit: {'unit': unit})
  assert batches_lib.example(shapes, 'b/large', 3) == {'unit': 'b/large'}


def test_a_part_is_read_or_refused():
  parts = _Parts()
  batches_lib.read_part(parts, 1, 3)
  assert parts.seen == [(1, 3)]
  # A host that reads all of it needs no method.
  batches_lib.read_part(tiny.TinyBatches(), 0, 1)
  with pytest.raises(errors.MeshError, match='TinyBatches has no method read'):
    batches_lib.read_part(tiny.TinyBatches(), 0, 2)


def test_sizes_are_divided_where_gradients_are_accumulated():
  parts = _Parts()
  batches_lib.divide(parts, 1)
  assert parts.seen == []
  batches_lib.divide(parts, 4)
  assert parts.seen == [4]
  batches_lib.divide(tiny.TinyBatches(), 4)  # Of one size.


def test_training_and_validation_read_the_same_part(monkeypatch):
  monkeypatch.setattr(
    batches_lib.rules_lib, 'part_of_batch', lambda mesh, rules: (2, 5)
  )
  first, second = _Parts(), _Parts()
  assert batches_lib.share(first, second, None, None, 3) == 5
  assert first.seen == [(2, 5), 3] and second.seen == [(2, 5)]
  assert batches_lib.share(first, None, None, None, 1) == 5


def test_a_batch_is_placed_with_its_rows():
  device = jax.devices()[1]
  sharding = jax.sharding.SingleDeviceSharding(device)
  placed = batches_lib.place({'x': [[1, 2], [3, 4]]}, sharding)
  np.testing.assert_array_equal(placed['x'], [[1, 2], [3, 4]])
  assert placed['x'].devices() == {device}


class _Counted(_Parts):
  """Counts what it reads."""

  def batch(self, step):
    self.seen.append(step)
    return super().batch(step)


def test_the_first_batches_are_read_once_and_by_unit():
  inner = _Counted()
  first = batches_lib.First(inner, 5)
  assert first.units() == ('a/small', 'b/large')
  assert batches_lib.First(inner, 1).units() == ('a/small',)
  assert inner.seen == []
  found = first.batches('b/large')
  assert inner.seen == [1, 3] and len(found) == 2
  np.testing.assert_array_equal(
    found[1]['inputs'], tiny.TinyBatches().batch(3)['inputs']
  )
  assert first.batches('b/large') is found and inner.seen == [1, 3]
  # Another part of every batch is read again.
  first.read_part(1, 2)
  assert inner.seen[-1] == (1, 2)
  first.batches('b/large')
  assert inner.seen[-2:] == [1, 3]
