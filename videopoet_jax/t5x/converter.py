"""Converts examples of our SeqIO tasks to batches that name their layout.

T5X compiles a step for every shape of a batch, and does not read values of a
batch. Information that a step needs besides the arrays is passed as the name of
a feature without elements: `layout:text_to_video/17x128x128`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.data import layout_examples


def layout_of(batch: Mapping[str, Any]) -> str | None:
  """The name of a batch's layout; None if it has none."""
  for name in batch:
    if name.startswith(layout_examples.LAYOUT):
      return name.removeprefix(layout_examples.LAYOUT)
  return None


def mark(batch: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
  """Adds the name of its layout to a batch.

  Args:
    batch: arrays (B, ...).
    name: the layout's name.
  """
  rows = next(iter(batch.values())).shape[0]
  return {**batch, layout_examples.LAYOUT + name: np.zeros((rows, 0), np.int32)}


class LayoutFeatureConverter(seqio.FeatureConverter):
  """Joins `inputs` and `targets` of a task that `data.register` registered.

  Nothing is padded or trimmed: the lengths of a layout are static. The result
  has `tokens` int32 (L,), `visible` bool (L,) and the name of the layout.
  """

  TASK_FEATURES: Mapping[str, Any] = {
    name: seqio.FeatureConverter.FeatureSpec(tf.int32)
    for name in (layout_examples.INPUTS, layout_examples.TARGETS)
  }
  MODEL_FEATURES: Mapping[str, Any] = {
    'tokens': seqio.FeatureConverter.FeatureSpec(tf.int32),
    'visible': seqio.FeatureConverter.FeatureSpec(tf.bool),
  }
  PACKING_FEATURE_DTYPES: Mapping[str, tf.DType] = {}

  def __init__(self, pack: bool = False, **options: Any) -> None:
    """Takes SeqIO's arguments.

    Args:
      pack: must be False: a batch of one layout leaves nothing to pack.
      **options: options of `seqio.FeatureConverter`.

    Raises:
      ConfigError: packing is requested.
    """
    if pack:
      raise errors.ConfigError(
        'DatasetConfig.pack is True, and a batch of one layout leaves nothing '
        'to pack; set it to False.'
      )
    super().__init__(pack=False, **options)

  def __call__(
    self,
    ds: tf.data.Dataset,
    task_feature_lengths: Mapping[str, int] | None = None,
  ) -> tf.data.Dataset:
    """Converts a task's examples.

    Args:
      ds: examples of a task. Examples of a mixture have lost their layouts, and
        so have the results; a model refuses those.
      task_feature_lengths: unused.

    Raises:
      DataError: the examples are not from a task of `data.register`.
    """
    missing = set(self.TASK_FEATURES) - set(ds.element_spec)
    if missing:
      raise errors.DataError(
        f'the examples have no feature {sorted(missing)}; give a task that '
        'videopoet_jax.data.register made.'
      )
    return self._convert_features(ds, task_feature_lengths or {})

  def _convert_features(
    self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
  ) -> tf.data.Dataset:
    del task_feature_lengths
    return ds.map(_convert, num_parallel_calls=2)

  def get_model_feature_lengths(
    self, task_feature_lengths: Mapping[str, int]
  ) -> Mapping[str, int]:
    """Both results are as long as inputs and targets together."""
    length = sum(task_feature_lengths[name] for name in self.TASK_FEATURES)
    return dict.fromkeys(self.MODEL_FEATURES, length)


def _convert(example: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  inputs = example[layout_examples.INPUTS]
  targets = example[layout_examples.TARGETS]
  shown = example.get(layout_examples.VISIBLE, tf.ones_like(inputs, tf.bool))
  marks = {
    name: value
    for name, value in example.items()
    if name.startswith(layout_examples.LAYOUT)
  }
  return {
    'tokens': tf.concat([inputs, targets], 0),
    'visible': tf.concat([shown, tf.ones_like(targets, tf.bool)], 0),
    **marks,
  }
