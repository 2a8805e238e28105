"""Records are the same bytes whatever the order of features."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from videopoet_jax.data import serialize

_FEATURES = tfds.features.FeaturesDict(
  {
    'ids': tfds.features.Tensor(shape=(2, 3), dtype=np.int32),
    'name': tfds.features.Text(),
    'share': tfds.features.Scalar(dtype=np.float32),
  }
)


def _example():
  return {
    'ids': np.arange(6, dtype=np.int32).reshape(2, 3),
    'name': 'blüte',
    'share': np.float32(0.25),
  }


def test_a_record_reads_back():
  record = serialize.ExampleSerializer(_FEATURES)(_example())
  found = _FEATURES.deserialize_example_np(record)
  np.testing.assert_array_equal(found['ids'], _example()['ids'])
  assert found['name'].decode() == 'blüte'
  assert found['share'] == 0.25


def test_features_stand_in_the_order_of_their_names():
  record = serialize.ExampleSerializer(_FEATURES)(_example())
  places = [record.index(name) for name in (b'ids', b'name', b'share')]
  assert places == sorted(places)
  turned = dict(reversed(_example().items()))
  assert serialize.ExampleSerializer(_FEATURES)(turned) == record


def test_an_example_of_other_features_is_refused():
  example = _example()
  del example['share']
  with pytest.raises((ValueError, KeyError)):
    serialize.ExampleSerializer(_FEATURES)(example)
  with pytest.raises(ValueError):
    serialize.ExampleSerializer(_FEATURES)(
      {**_example(), 'ids': np.zeros((2, 4), np.int32)}
    )
