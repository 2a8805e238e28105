"""Examples of one layout in the form for SeqIO's converters.

There are two steps, between which SeqIO may cache: filling the layout, which is
deterministic, and hiding the conditions that an example drops, which is drawn
anew every epoch.
"""

from collections.abc import Mapping

import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.data import converter as converter_lib
from videopoet_jax.data import source as source_lib
from videopoet_jax.data import split_source

INPUTS = 'inputs'
TARGETS = 'targets'
VISIBLE = 'visible'
# Begins the name of a feature without elements, which tells the layout to code
# that sees batches and no task: `layout:text_to_video/17x128x128`.
LAYOUT = 'layout:'

_Example = dict[str, tf.Tensor]


def fill(
  dataset: tf.data.Dataset, layout: layout_lib.SequenceLayout
) -> tf.data.Dataset:
  """Maps local ids of each feature to `inputs`, `targets` and `visible`.

  Args:
    dataset: data of a `split_source.SplitSource`, after the preprocessors.
    layout: layout to fill.

  Returns:
    `inputs` int32 (prefix length,), `targets` int32 (target length,), `visible`
    int32 (prefix length,), 0 for unused text slots, and the inputs of `drop`.
    All of it can be cached.

  Raises:
    DataError: a feature is missing or does not fit the layout. An id outside
      the vocabulary is tf.errors.InvalidArgumentError while reading.
  """
  if split_source.TRAINING not in dataset.element_spec:
    raise errors.DataError(
      f'{layout.name}: after the preprocessors the feature '
      f'{split_source.TRAINING!r} is missing. A preprocessor hands on what it '
      'does not change, position and seed among it.'
    )
  spec = converter_lib.Spec
  convert = converter_lib.LayoutFeatureConverter(
    layout,
    passthrough={
      source_lib.POSITION: spec(tf.int64, rank=0),
      source_lib.SEED: spec(tf.int32),
      split_source.TRAINING: spec(tf.int32, rank=0),
    },
  )
  ranges = [(run.range, run.stop - run.start) for run in layout.runs]
  low_L, high_L = (
    tf.concat([tf.fill((n,), getattr(r, side)) for r, n in ranges], 0)
    for side in ('start', 'stop')
  )

  def split(example: _Example) -> _Example:
    tokens_L = example.pop('tokens')
    visible_L = example.pop(VISIBLE)
    tf.debugging.assert_equal(
      tf.reduce_all((tokens_L >= low_L) & (tokens_L < high_L)),
      True,
      f'{layout.name}: an id is not in the vocabulary; encode the clips again '
      'with `videopoet tokenize`.',
    )
    return {
      **example,
      INPUTS: tokens_L[: layout.prefix_length],
      TARGETS: tokens_L[layout.prefix_length :],
      # SeqIO's cache does not accept bool.
      VISIBLE: tf.cast(visible_L[: layout.prefix_length], tf.int32),
    }

  lengths = {**convert.task_feature_lengths(), source_lib.SEED: 2}
  return convert(dataset, lengths).map(split, num_parallel_calls=2)


def drop(
  dataset: tf.data.Dataset,
  layout: layout_lib.SequenceLayout,
  rates: Mapping[str, float],
) -> tf.data.Dataset:
  """Hides the conditions that a training example drops, anew every epoch.

  This runs after the cache and SeqIO's repetition. An epoch begins where the
  first position comes again; in the first epoch an example draws the same as in
  our own batches with that seed.

  Args:
    dataset: what `fill` returns, or a cache of it.
    layout: layout that was filled.
    rates: share of the examples without the condition, by feature.

  Returns:
    `inputs`, `targets` and `visible` (now a bool), and a feature without
    elements whose name contains the layout, see `LAYOUT`.
  """
  slices = {
    segment.name: (segment.feature, layout.slices[segment.name])
    for segment in layout.filled(types.Role.PREFIX)
    if segment.feature in rates
  }

  def count(
    state: tuple[tf.Tensor, tf.Tensor], example: _Example
  ) -> tuple[tuple[tf.Tensor, tf.Tensor], tuple[tf.Tensor, _Example]]:
    first, epoch = state
    position = example[source_lib.POSITION]
    epoch += tf.cast(position == first, tf.int32)
    first = tf.where(first < 0, position, first)
    return (first, epoch), (epoch, example)

  def hide(epoch: tf.Tensor, example: _Example) -> _Example:
    # Arrays from a cache have lost their shape.
    inputs = tf.ensure_shape(example[INPUTS], (layout.prefix_length,))
    targets = tf.ensure_shape(example[TARGETS], (layout.target_length,))
    visible = tf.ensure_shape(example[VISIBLE], (layout.prefix_length,)) > 0
    seed = tf.ensure_shape(example[source_lib.SEED], (2,))
    if slices:
      folded = tf.random.experimental.stateless_fold_in(seed, epoch)
      seed = tf.where(epoch > 0, folded, seed)
      kept = converter_lib.kept_conditions(seed, rates)
      places = tf.range(layout.prefix_length)
      for feature, part in slices.values():
        within = (places >= part.start) & (places < part.stop)
        dropped = ~kept[feature] & (example[split_source.TRAINING] > 0)
        visible &= ~(within & dropped)
    return {
      INPUTS: inputs,
      TARGETS: targets,
      VISIBLE: visible,
      f'{LAYOUT}{layout.name}': tf.zeros((0,), tf.int32),
    }

  start = (tf.constant(-1, tf.int64), tf.constant(0, tf.int32))
  return dataset.scan(start, count).map(hide, num_parallel_calls=2)
