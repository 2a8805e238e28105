"""TensorFlow fills a layout exactly as `layout.encode` does."""

import doctest

import numpy as np
import pytest
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.data import converter


def test_worked_examples_of_the_docstring():
  result = doctest.testmod(converter)
  assert result.attempted >= 8
  assert not result.failed


def _convert(layout, example, **options):
  features = {f: example[f] for f in {fill.feature for fill in layout.fills}}
  dataset = tf.data.Dataset.from_tensors({**features, 'seed': [3, 4]})
  convert = converter.LayoutFeatureConverter(layout, **options)
  converted = convert(dataset, convert.task_feature_lengths())
  return next(converted.as_numpy_iterator())


def _numeric(example):
  example = dict(example)
  ids = np.zeros(4, np.int32)
  pieces = [3 + byte for byte in example['text'].encode()] + [1]
  ids[: len(pieces)] = pieces
  return {**example, 'text': ids}


def test_equals_encode_for_every_layout(space, example_at):
  names = space.standard_names(9, 16, 16)
  assert len(names) >= 13
  example = _numeric(example_at(4))
  for layout in space.layouts(names):
    got = _convert(layout, example)
    np.testing.assert_array_equal(got['tokens'], layout.encode(example))
    assert got['tokens'].dtype == np.int32
    hidden = np.flatnonzero(~got['visible'])
    slots = layout.slices.get('text_i')
    expected = [] if slots is None else list(range(slots.stop - 2, slots.stop))
    assert hidden.tolist() == expected, layout.name


def test_dropping_hides_only_the_condition_named(space, example_at):
  layout = space.layout('stylization/9x16x16/image=1')
  example = _numeric(example_at(7))
  got = _convert(layout, example, drop={'structure_tokens': 1.0})
  hidden = np.flatnonzero(~got['visible'])
  slots = layout.slices['structure_tokens_i']
  text = layout.slices['text_i']
  assert hidden.tolist() == [
    text.stop - 2,
    text.stop - 1,
    *range(slots.start, slots.stop),
  ]
  # A target is never hidden, even where it comes from a dropped feature.
  got = _convert(layout, example, drop={'video_tokens': 1.0})
  assert got['visible'][layout.slices['video_tokens_o']].all()
  assert not got['visible'][layout.slices['video_tokens_i']].any()


def test_share_of_dropped_examples(space, example_at):
  layout = space.layout('text_to_video/9x16x16')
  example = _numeric(example_at(7))
  count = 600
  seeds = np.stack([np.arange(count), np.arange(count)], 1).astype(np.int32)
  dataset = tf.data.Dataset.from_tensor_slices(
    {
      'text': np.tile(example['text'], (count, 1)),
      'video_tokens': np.tile(example['video_tokens'], (count, 1, 1, 1)),
      'seed': seeds,
    }
  )
  convert = converter.LayoutFeatureConverter(layout, drop={'text': 0.25})
  converted = convert(dataset, convert.task_feature_lengths()).batch(count)
  visible = next(converted.as_numpy_iterator())['visible']
  dropped = ~visible[:, layout.slices['text_i'].start]
  assert 0.19 < dropped.mean() < 0.31


@pytest.mark.parametrize(
  'change, message',
  [
    ({'text': None}, "needs the feature 'text'"),
    ({'video_tokens': np.zeros((3, 2, 3), np.int32)}, 'has shape'),
    ({'video_tokens': np.zeros((2, 2, 2), np.int32)}, 'axis 0 may be longer'),
    ({'video_tokens': np.zeros((3, 2, 2), np.int64)}, 'int64, expected int32'),
    ({'text': np.zeros(3, np.int32)}, 'has shape'),
    ({'seed': None}, "'seed' is missing"),
  ],
)
def test_bad_examples_are_named(space, example_at, change, message):
  layout = space.layout('text_to_video/9x16x16')
  example = {**_numeric(example_at(1)), 'seed': np.zeros(2, np.int32)}
  features = {k: example[k] for k in ('text', 'video_tokens', 'seed')}
  features = {k: v for k, v in {**features, **change}.items() if v is not None}
  convert = converter.LayoutFeatureConverter(layout)
  with pytest.raises(errors.DataError, match=message):
    convert(
      tf.data.Dataset.from_tensors(features), convert.task_feature_lengths()
    )


def test_a_longer_clip_gives_its_beginning(space, example_at):
  layout = space.layout('text_to_video/5x16x16')
  example = _numeric(example_at(2))
  short = {**example, 'video_tokens': example['video_tokens'][:2]}
  np.testing.assert_array_equal(
    _convert(layout, example)['tokens'], layout.encode(short)
  )


def test_a_rate_that_is_no_share(space):
  with pytest.raises(errors.ConfigError, match='between 0 and 1'):
    converter.LayoutFeatureConverter(
      space.layout('text_to_video/9x16x16'), drop={'text': 3}
    )
