"""What a stream of batches does where it cannot read."""

import pytest
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.data import batch_reader


def _stream(failures):
  def open_at(number):
    if failures:
      raise failures.pop()
    return tf.data.Dataset.range(number, 10).map(lambda n: {'n': n})

  return batch_reader.Stream(open_at, 'numbers')


def test_what_is_damaged_is_named():
  error = tf.errors.DataLossError(None, None, 'corrupted record')
  with pytest.raises(
    errors.DataError, match='numbers cannot be read: corrupted'
  ):
    _stream([error]).read(3)


def test_storage_that_does_not_answer_is_no_fault_of_the_data():
  error = tf.errors.UnavailableError(None, None, 'try again')
  batches = _stream([error])
  with pytest.raises(tf.errors.UnavailableError):
    batches.read(3)
  assert int(batches.read(3)['n']) == 3
