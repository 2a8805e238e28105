"""One-to-one steps between a data set's features and a task's."""

import numpy as np
import pytest
import seqio
import tensorflow as tf

from videopoet_jax.core import errors
from videopoet_jax.data import preprocessors

_BYTES = preprocessors.text_vocabulary('bytes')


def _dataset(**features):
  """A data set with positions and seeds."""
  count = len(next(iter(features.values())))
  return tf.data.Dataset.from_tensor_slices(
    {
      'position': tf.range(count, dtype=tf.int64),
      'seed': tf.constant([[n, 7 * n] for n in range(count)], tf.int32),
      **features,
    }
  )


def _examples(dataset):
  return list(dataset.as_numpy_iterator())


def test_position_and_seed_are_carried_along():
  @preprocessors.map_examples
  def double(example):
    return {'x': 2 * example['x']}

  found = _examples(double(_dataset(x=[1, 2, 3])))
  assert [e['x'] for e in found] == [2, 4, 6]
  assert [e['position'] for e in found] == [0, 1, 2]
  np.testing.assert_array_equal([e['seed'][1] for e in found], [0, 7, 14])
  assert double.__name__ == 'double'


def test_a_step_may_change_the_position_itself():
  @preprocessors.map_examples
  def shift(example):
    return {'position': example['position'] + 1}

  assert [e['position'] for e in _examples(shift(_dataset(x=[1, 2])))] == [1, 2]


def test_text_ends_with_the_end_and_is_padded():
  # Bytes follow three special ids; the end is 1.
  step = preprocessors.tokenize_text(_BYTES, 4)
  found = _examples(step(_dataset(text=['', 'ab', 'abc', 'abcdef'])))
  wanted = [
    [1, 0, 0, 0],
    [100, 101, 1, 0],
    [100, 101, 102, 1],
    [100, 101, 102, 1],
  ]
  np.testing.assert_array_equal([e['text'] for e in found], wanted)
  assert found[0]['text'].dtype == np.int32


def test_text_that_is_ids_or_missing_is_left_alone():
  step = preprocessors.tokenize_text(_BYTES, 2)
  ids = np.array([[5, 6, 7]], np.int32)
  (found,) = _examples(step(_dataset(text=ids)))
  np.testing.assert_array_equal(found['text'], ids[0])
  dataset = _dataset(x=[1])
  assert step(dataset) is dataset


def test_another_feature_can_be_tokenized():
  step = preprocessors.tokenize_text(_BYTES, 2, feature='title')
  (found,) = _examples(step(_dataset(title=['a'], text=['b'])))
  np.testing.assert_array_equal(found['title'], [100, 1])
  assert found['text'] == b'b'


def _embedded(slots=3, used=(2, 0, 3)):
  vectors = np.arange(len(used) * slots * 2).reshape(len(used), slots, 2)
  return _dataset(
    text=['a'] * len(used),
    text_embeddings=vectors.astype(np.float16),
    text_slots_used=np.array(used, np.int64),
  )


def test_stored_embeddings_become_floats_and_used_slots():
  found = _examples(preprocessors.embedded_text(3)(_embedded()))
  np.testing.assert_array_equal(
    [e['text'] for e in found], [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
  )
  assert found[1]['text_embeddings'].dtype == np.float32
  np.testing.assert_array_equal(
    found[1]['text_embeddings'], [[6, 7], [8, 9], [10, 11]]
  )


def test_embeddings_that_lack_or_do_not_fit_are_refused():
  with pytest.raises(errors.DataError, match='have 3 slots, the run 4'):
    preprocessors.embedded_text(4)(_embedded())
  with pytest.raises(errors.DataError, match="no feature 'text_embeddings'"):
    preprocessors.embedded_text(3)(_dataset(text=['a']))
  dataset = _dataset(x=[1])
  assert preprocessors.embedded_text(3)(dataset) is dataset


def test_features_are_copied_to_other_names():
  (found,) = _examples(preprocessors.rename(_dataset(x=[3], y=[4]), z='x'))
  assert (found['x'], found['y'], found['z']) == (3, 4, 3)
  with pytest.raises(errors.DataError, match="no feature 'w'"):
    preprocessors.rename(_dataset(x=[3]), z='w')


def test_one_of_several_captions_follows_from_the_seed():
  texts = [['a', 'b', 'c']] * 40
  found = [e['text'] for e in _examples(
    preprocessors.random_text(_dataset(text=texts))
  )]  # fmt: skip
  assert {bytes(t) for t in found} == {b'a', b'b', b'c'}
  again = _examples(preprocessors.random_text(_dataset(text=texts)))
  assert [e['text'] for e in again] == found


def test_a_single_caption_and_ids_are_left_alone():
  (found,) = _examples(preprocessors.random_text(_dataset(text=['a'])))
  assert found['text'] == b'a'
  (found,) = _examples(preprocessors.random_text(_dataset(text=[[1, 2]])))
  np.testing.assert_array_equal(found['text'], [1, 2])


def test_low_ids_are_spread_over_the_cells_that_they_cover():
  low = np.arange(4, dtype=np.int32).reshape(1, 1, 2, 2)
  high = np.zeros((1, 1, 4, 6), np.int32)
  dataset = _dataset(low_tokens=low, video_tokens=high)
  (found,) = _examples(preprocessors.spread_low_tokens(dataset))
  rows = [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2
  np.testing.assert_array_equal(found['low_tokens'], [rows])


def test_vocabularies_by_name(tmp_path):
  assert isinstance(_BYTES, seqio.ByteVocabulary)
  assert preprocessors.text_vocabulary('embeddings').vocab_size == 2
  path = tmp_path / 'broken.model'
  path.write_bytes(b'nothing')
  with pytest.raises(errors.DataError, match='no readable SentencePiece'):
    preprocessors.text_vocabulary(str(path))
