"""Serializes examples to the same bytes in every process.

TFDS writes features in the order of a hash that each process salts; here they
are in order of their names.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer


class ExampleSerializer:
  """Turns examples into records."""

  def __init__(self, features: tfds.features.FeaturesDict) -> None:
    self._features = features
    self._serializer = example_serializer.ExampleSerializer(
      features.get_serialized_info()
    )

  def __call__(self, example: Mapping[str, Any]) -> bytes:
    """Returns one record; raises ValueError if the features do not match."""
    encoded = self._features.encode_example(dict(example))
    found = self._serializer.get_tf_example(encoded)
    return found.SerializeToString(deterministic=True)
