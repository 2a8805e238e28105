"""Converts the features of a task to the tokens of a layout."""

from collections.abc import Mapping
from typing import TypeAlias

import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types
from videopoet_jax.data import preprocessors
from videopoet_jax.data import source

Spec: TypeAlias = seqio.FeatureConverter.FeatureSpec

# Stored by a frozen encoder: (slots, width), and how many slots are used.
TEXT_EMBEDDINGS = preprocessors.TEXT_EMBEDDINGS
TEXT_USED = preprocessors.TEXT_USED


def task_features(layout: layout_lib.SequenceLayout) -> dict[str, Spec]:
  """Features that a layout needs of an example: local ids, int32."""
  specs = {
    segment.feature: Spec(
      tf.int32, rank=len(segment.shape), sequence_dim=segment.time_axis
    )
    for segment in layout.filled()
  }
  return {**specs, source.SEED: Spec(tf.int32, rank=1)}


def check_shapes(
  layout: layout_lib.SequenceLayout,
  shapes: Mapping[str, tuple[int | None, ...]],
  where: str,
) -> None:
  """Checks that features of these shapes fill a layout.

  A clip longer than the layout is fine: tokenizers are causal, so its first
  latent frames are those of the shorter clip.

  Args:
    layout: layout to fill.
    shapes: shapes by feature, without a batch dimension; None is not known yet.
    where: name of the data with the features, for messages.

  Raises:
    DataError: a feature is missing or has a shape that does not fit.
  """
  for segment, fill in zip(layout.filled(), layout.fills, strict=True):
    if fill.feature not in shapes:
      hint = errors.near_names(fill.feature, shapes)
      raise errors.DataError(
        f'{layout.name} needs the feature {fill.feature!r}, which {where} does '
        f'not have{hint}.'
      )
    shape = tuple(shapes[fill.feature])
    fits = len(shape) == len(segment.shape)
    for axis, (size, wanted) in enumerate(zip(shape, segment.shape)):
      if size is None:
        continue
      if axis == fill.time_axis:
        fits = fits and size >= fill.start + fill.take
        continue
      fits = fits and size == wanted
    if fits:
      continue
    expected = list(segment.shape)
    expected[fill.time_axis] = fill.start + fill.take
    raise errors.DataError(
      f'{layout.name}: feature {fill.feature!r} of {where} has shape {shape}, '
      f'expected {tuple(expected)} (axis {fill.time_axis} may be longer). '
      'Choose a layout of the size of the data, or encode them at this size.'
    )


def kept_conditions(
  seed: tf.Tensor, drop: Mapping[str, float]
) -> dict[str, tf.Tensor]:
  """Returns for each feature that may be dropped whether it is shown.

  Args:
    seed: int32 (2,), seed of the example.
    drop: share of the examples without the condition, by feature.

  Returns:
    A scalar bool by feature.
  """
  if not drop:
    return {}
  names = sorted(drop)
  rates = tf.constant([drop[name] for name in names], tf.float32)
  drawn = tf.random.stateless_uniform((len(names),), seed)
  return dict(zip(names, tf.unstack(drawn >= rates)))


class LayoutFeatureConverter(seqio.FeatureConverter):
  """Fills one layout: local ids of each feature become global ids in place.

  Nothing is packed, padded or trimmed, since all lengths are static. Conditions
  are hidden, not removed: `visible` is False for the slots that a text leaves
  unused, and for the whole of a condition that an example drops (which
  examples do follows from their `seed`).

  A tiny vocabulary: special ids from 0, visual from 256, audio from 384 (two
  levels of 8 codes), text from 512. The layout `image_to_video/5x8x8` at 8
  pixels a cell has two latent frames of one cell each, and four text slots:

  >>> from videopoet_jax.core import specs, tasks, vocabulary
  >>> space = tasks.LayoutSpace(
  ...   vocabulary.Vocabulary(
  ...     visual_size=16, audio_levels=2, audio_codes=8, text_size=20),
  ...   specs.VisualSpec(16), specs.AudioSpec(2, 8), text_slots=4)
  >>> layout = space.layout('image_to_video/5x8x8')
  >>> dataset = tf.data.Dataset.from_tensors({
  ...   'text': tf.constant([7, 9, 1, 0]),
  ...   'video_tokens': tf.constant([[[11]], [[4]]]),
  ...   'seed': tf.constant([0, 0])})
  >>> convert = LayoutFeatureConverter(layout)
  >>> converted = convert(dataset, convert.task_feature_lengths())
  >>> example = next(converted.as_numpy_iterator())

  The text 7, 9, 1 becomes 519, 521, 513; the image 11 becomes 267 in the
  prefix; the frame to predict, 4, becomes 260. Special tokens are in place
  (1 `<bos>`, 32 `<task:video>`, 16 `<duration:5>`, 3 and 4 around the text,
  5 and 6 around the image, 9 `<source>`, 10 and 11 around the target, 2
  `<eos>`):

  >>> example['tokens'].tolist()
  [1, 32, 16, 3, 519, 521, 513, 512, 4, 5, 267, 6, 9, 10, 260, 11, 2]

  Only the unused text slot is hidden:

  >>> (~example['visible']).nonzero()[0].tolist()
  [7]

  With a rate of 1 every example loses its text, all slots of it:

  >>> convert = LayoutFeatureConverter(layout, drop={'text': 1.0})
  >>> converted = convert(dataset, convert.task_feature_lengths())
  >>> example = next(converted.as_numpy_iterator())
  >>> (~example['visible']).nonzero()[0].tolist()
  [4, 5, 6, 7]

  A layout that takes the first frame only reads just that of the clip:

  >>> convert = LayoutFeatureConverter(space.layout('text_to_image/1x8x8'))
  >>> converted = convert(dataset, convert.task_feature_lengths())
  >>> example = next(converted.as_numpy_iterator())
  >>> example['tokens'].tolist()
  [1, 32, 3, 519, 521, 513, 512, 4, 9, 10, 267]
  """

  TASK_FEATURES: Mapping[str, Spec] = {}  # of the layout, see __init__.
  MODEL_FEATURES: Mapping[str, Spec] = {
    'tokens': Spec(tf.int32),
    'visible': Spec(tf.bool),
  }
  PACKING_FEATURE_DTYPES: Mapping[str, tf.DType] = {}

  def __init__(
    self,
    layout: layout_lib.SequenceLayout,
    drop: Mapping[str, float] | None = None,
    passthrough: Mapping[str, Spec] | None = None,
  ) -> None:
    """Prepares the arrays of the layout.

    Args:
      layout: to be filled.
      drop: by feature, the share of examples that do not see it where it is a
        condition; independent of one another.
      passthrough: features to hand on unchanged, such as text embeddings.

    Raises:
      ConfigError: a rate is not a share, or names no condition of any task.
    """
    self.layout = layout
    self.TASK_FEATURES = task_features(layout)
    self._drop = {k: float(v) for k, v in (drop or {}).items() if v}
    for feature, rate in self._drop.items():
      if not 0 <= rate <= 1:
        raise errors.ConfigError(
          f'{layout.task}: the share {rate} of examples that drop {feature!r} '
          'is not between 0 and 1.'
        )
    # Shapes are checked as a whole in `_validate_dataset`.
    super().__init__(
      pack=False, apply_length_check=False, passthrough_features=passthrough
    )

  def task_feature_lengths(self) -> dict[str, int]:
    """The lengths for `seqio.get_dataset`: those of the layout."""
    lengths = {f.feature: 0 for f in self.layout.fills}
    for fill in self.layout.fills:
      extent = fill.start + fill.take
      lengths[fill.feature] = max(lengths[fill.feature], extent)
    passed = dict.fromkeys(self._passthrough_features, 1)
    return {**passed, **lengths, source.SEED: 2}

  def get_model_feature_lengths(
    self, task_feature_lengths: Mapping[str, int]
  ) -> Mapping[str, int]:
    """Both outputs have the layout's length, whatever the input's."""
    lengths = dict.fromkeys(self.MODEL_FEATURES, self.layout.length)
    passed = {k: task_feature_lengths[k] for k in self._passthrough_features}
    return {**lengths, **passed}

  def _validate_dataset(
    self,
    ds: tf.data.Dataset,
    expected_features: Mapping[str, Spec],
    expected_lengths: Mapping[str, int],
    strict: bool,
    error_label: str,
  ) -> tf.data.Dataset:
    if error_label.startswith('input'):
      shapes = {n: tuple(spec.shape) for n, spec in ds.element_spec.items()}
      check_shapes(self.layout, shapes, 'the example after its preprocessors')
      for name, spec in expected_features.items():
        found = ds.element_spec.get(name)
        if found is None or found.dtype != spec.dtype:
          what = 'is missing' if found is None else f'is {found.dtype.name}'
          raise errors.DataError(
            f'{self.layout.name}: after the preprocessors the feature {name!r} '
            f'{what}, expected {spec.dtype.name}. A preprocessor hands on what '
            'it does not change, position and seed among it.'
          )
    return super()._validate_dataset(
      ds, expected_features, expected_lengths, strict, error_label
    )

  def _convert_features(
    self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
  ) -> tf.data.Dataset:
    del task_feature_lengths
    return ds.map(self._convert, num_parallel_calls=2)

  def _convert(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    layout = self.layout
    tokens, visible, start = [], [], 0
    fills = dict(
      zip([s.name for s in layout.filled()], layout.fills, strict=True)
    )
    kept = kept_conditions(features[source.SEED], self._drop)
    for segment in layout.segments:
      stop = start + segment.size
      shown = tf.ones((segment.size,), tf.bool)
      if segment.name not in fills:
        tokens.append(tf.constant(layout.template_L[start:stop]))
      else:
        fill = fills[segment.name]
        grid = features[fill.feature]
        taken = [slice(None)] * len(segment.shape)
        taken[fill.time_axis] = slice(fill.start, fill.start + fill.take)
        local = tf.ensure_shape(grid[tuple(taken)], segment.shape)
        local = tf.reshape(local, (segment.size,))
        tokens.append(local + tf.constant(fill.offsets_L))
        if segment.role is types.Role.PREFIX:
          if segment.modality is types.Modality.TEXT:
            shown = tf.not_equal(local, 0)
          if fill.feature in kept:
            shown = tf.logical_and(shown, kept[fill.feature])
      visible.append(shown)
      start = stop
    return {
      'tokens': tf.ensure_shape(tf.concat(tokens, 0), (layout.length,)),
      'visible': tf.ensure_shape(tf.concat(visible, 0), (layout.length,)),
      **{name: features[name] for name in self._passthrough_features},
    }
