"""The input of T5X's SavedModels: the prefix of one layout."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.data import layout_examples
from videopoet_jax.data import layout_tasks
from videopoet_jax.t5x import experiment

Preprocessor = Callable[..., dict[str, tf.Tensor]]


@gin.register
def prefix_preprocessor(
  batch_size: int | None,
  output_features: Mapping[str, Any],
  task_feature_lengths: Mapping[str, int],
  tokenized_inputs: bool = True,
  *,
  task: str,
) -> tuple[Preprocessor, Sequence[tf.TensorSpec]]:
  """T5X's `create_preprocessor_fn` for one layout.

  Args:
    batch_size: number of sequences of a call; must be a number.
    output_features: unused.
    task_feature_lengths: unused.
    tokenized_inputs: must be True: conditions are ids.
    task: SeqIO name of the layout, `videopoet:text_to_video:17x128x128`.

  Returns:
    A function from `inputs` int32 (B, P), unified ids of the prefix, and
    `visible` bool (B, P), False for slots and conditions that are hidden, to a
    model's batch; and the signature of both.

  Raises:
    ConfigError: inputs are not ids, the batch is open, or there is no such
      layout.
  """
  del output_features, task_feature_lengths
  if not tokenized_inputs or not batch_size:
    raise errors.ConfigError(
      f'save.tokenized_inputs is {tokenized_inputs} and save.batch_size '
      f'{batch_size}; an export takes ids (True) of a fixed number of rows.'
    )
  name = layout_tasks.layout_name(task)
  layouts = experiment.current().trainable.layouts
  if name not in layouts:
    hint = errors.near_names(name, layouts)
    raise errors.ConfigError(f'the run has no layout {name!r}{hint}.')
  layout = layouts[name]

  def preprocess(inputs: tf.Tensor, visible: tf.Tensor) -> dict[str, tf.Tensor]:
    targets = tf.constant(layout.template_L[layout.prefix_length :], tf.int32)
    rows = tf.tile(targets[None], (batch_size, 1))
    return {
      'tokens': tf.concat([inputs, rows], 1),
      'visible': tf.concat([visible, tf.ones_like(rows, tf.bool)], 1),
      f'{layout_examples.LAYOUT}{name}': tf.zeros((batch_size, 0), tf.int32),
    }

  shape = (batch_size, layout.prefix_length)
  return preprocess, (
    tf.TensorSpec(shape, tf.int32, layout_examples.INPUTS),
    tf.TensorSpec(shape, tf.bool, layout_examples.VISIBLE),
  )
