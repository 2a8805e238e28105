"""Random access to the records of one data set and of several."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from tests.data import clip_sets
from videopoet_jax.core import errors
from videopoet_jax.data import records


def _ids(found, split, indices):
  return [
    example['clip_id'].decode()
    for example in found.arrays(split, indices, ['clip_id'])
  ]


@pytest.fixture(name='opened', scope='module')
def _opened(token_set):
  return records.Records(token_set)


def test_records_come_in_the_order_of_the_indices(opened):
  assert opened.splits == ('train', 'validation')
  assert (opened.size('train'), opened.size('validation')) == (50, 10)
  assert _ids(opened, 'train', [7, 0, 49, 7]) == [
    'clip-7', 'clip-0', 'clip-49', 'clip-7',
  ]  # fmt: skip
  assert _ids(opened, 'validation', np.array([3])) == ['clip-103']


def test_records_that_do_not_fit_in_memory_are_the_same(
  opened, token_set, monkeypatch
):
  monkeypatch.setattr(records, '_MEMORY_BYTES', 0)
  other = records.Records(token_set)
  assert other.read('train', [7, 0, 49]) == opened.read('train', [7, 0, 49])
  assert not other._memory and opened._memory


def test_a_range_of_examples(opened):
  found = opened.examples('train', ['clip_id'], first=3, stop=6)
  assert [e['clip_id'].decode() for e in found.as_numpy_iterator()] == [
    'clip-3', 'clip-4', 'clip-5',
  ]  # fmt: skip
  ends = opened.examples('validation', ['clip_id'], first=8, stop=99)
  assert len(list(ends.as_numpy_iterator())) == 2


def test_blocks_do_not_change_what_is_read(opened, monkeypatch):
  monkeypatch.setattr(records, '_BLOCK', 3)
  found = opened.examples('validation', ['clip_id'])
  assert [e['clip_id'].decode() for e in found.as_numpy_iterator()] == [
    f'clip-{n}' for n in range(100, 110)
  ]


def test_features_and_shapes(opened):
  assert opened.shape('video_tokens') == (3, 2, 2)
  assert opened.shape('quality') == ()
  assert set(opened.schema(['quality', 'text'])) == {'quality', 'text'}
  assert set(opened.schema()) == set(opened.features)
  with pytest.raises(errors.DataError, match="no feature 'qualty'.*'quality'"):
    opened.schema(['qualty'])
  with pytest.raises(errors.NoExamplesError, match="no split 'test'"):
    opened.size('test')


def test_a_record_is_found_in_its_file(opened):
  place = opened.place('validation', 4)
  assert place.startswith('record 4 of ') and 'validation' in place


def test_selections_by_minimum_and_predicate(opened):
  # The quality of example n is n / 50.
  found = opened.select('train', {'quality': 0.9})
  np.testing.assert_array_equal(found, range(45, 50))
  assert found.dtype == np.int64
  assert opened.select('train', {'quality': 0.9}) is found
  every = opened.select('train', {})
  np.testing.assert_array_equal(every, range(50))

  def odd(example):
    return int(example['clip_id'].split(b'-')[1]) % 2 == 1

  np.testing.assert_array_equal(
    opened.select('train', {'quality': 0.9}, odd), [45, 47, 49]
  )
  # With a question mark, asked only where the set has it.
  np.testing.assert_array_equal(
    opened.select('train', {'quality?': 0.9}), range(45, 50)
  )
  assert len(opened.select('train', {'sharpness?': 0.9})) == 50


@pytest.mark.parametrize(
  ('minimum', 'kind', 'message'),
  [
    ({'quality': 2.0}, errors.NoExamplesError, 'meets quality >= 2;'),
    ({'sharpness': 0.5}, errors.DataError, "no feature 'sharpness'"),
    ({'video_tokens': 1}, errors.DataError, r'has shape \(3, 2, 2\)'),
    ({'text': 1}, errors.DataError, 'is text'),
  ],
)
def test_selections_that_cannot_be(opened, minimum, kind, message):
  with pytest.raises(kind, match=message):
    opened.select('train', minimum)


def test_a_fingerprint_is_of_the_description(token_set, tmp_path):
  copied = tmp_path / 'tokens'
  shutil.copytree(token_set, copied)
  same = records.Records(copied).fingerprint
  assert same == records.Records(token_set).fingerprint and len(same) == 16
  path = copied / 'dataset_info.json'
  path.write_text(
    json.dumps({**json.loads(path.read_text()), 'description': 'other'})
  )
  assert records.Records(copied).fingerprint != same


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda path: None, 'does not exist'),
    (lambda path: path.mkdir(), 'is empty'),
    (
      lambda path: (path.mkdir(), (path / 'a').touch()),
      'has no dataset_info.json',
    ),
    (
      lambda path: (path.mkdir(), (path / 'dataset_info.json').touch()),
      'cannot be read as a TFDS data set',
    ),
  ],
)
def test_folders_that_hold_no_set(tmp_path, make, message):
  folder = tmp_path / 'set'
  make(folder)
  with pytest.raises(errors.DataError, match=message):
    records.Records(folder)


def test_a_missing_file_is_told(token_set, tmp_path):
  copied = tmp_path / 'tokens'
  shutil.copytree(token_set, copied)
  for path in copied.glob('*train*'):
    path.unlink()
  with pytest.raises(errors.DataError, match="split 'train' of .* damaged"):
    records.Records(copied).read('train', [0])


@pytest.fixture(name='joined', scope='module')
def _joined(tmp_path_factory):
  folder = tmp_path_factory.mktemp('joined')
  clip = (17, 32, 32)
  first = clip_sets.write(folder / 'a', clip, range(5), held_out=())
  second = clip_sets.write(folder / 'b', clip, range(10, 13))
  return records.open_joined([first, second])


def _numbers(found, split, indices):
  schema = found.schema(['clip_id'])
  return [
    int(schema.deserialize_example_np(r)['clip_id'].split(b'-')[1])
    for r in found.read(split, indices)
  ]


def test_the_records_of_one_set_follow_the_others(joined):
  assert joined.size('train') == 8
  assert _numbers(joined, 'train', range(8)) == [0, 1, 2, 3, 4, 10, 11, 12]
  assert _numbers(joined, 'train', [7, 4, 5, 0]) == [12, 4, 10, 0]
  assert joined.shape('video_tokens') == (5, 4, 4)
  assert ', ' in joined.directory


def test_a_split_that_one_set_has_is_read_of_it_alone(joined):
  assert set(joined.splits) == {'train', 'validation'}
  assert joined.size('validation') == 4
  assert _numbers(joined, 'validation', [3, 0]) == [27, 24]
  with pytest.raises(errors.NoExamplesError, match="no split 'test'"):
    joined.size('test')


def test_places_are_those_within_each_set(joined):
  assert joined.place('train', 4).startswith('record 4 of ')
  assert joined.place('train', 5).startswith('record 0 of ')
  first, second = joined.directory.split(', ')
  assert pathlib.Path(first).name == 'a'
  assert first in joined.place('train', 4)
  assert second in joined.place('train', 5)


def test_selections_of_joined_sets_are_indices_of_the_whole(joined):
  def some(example):
    return example['clip_id'] in (b'clip-3', b'clip-11')

  np.testing.assert_array_equal(joined.select('train', {}, some), [3, 6])

  def late(example):
    return example['clip_id'] == b'clip-12'

  # Nothing of the first set passes, which is no mistake.
  np.testing.assert_array_equal(joined.select('train', {}, late), [7])
  with pytest.raises(errors.NoExamplesError, match='the predicate'):
    joined.select('train', {}, lambda example: False)


def test_sets_that_are_not_alike_are_refused(tmp_path):
  paths = [
    clip_sets.write(tmp_path / str(size), (17, size, 32), range(2), held_out=())
    for size in (32, 56)
  ]
  joined = records.open_joined(paths)
  with pytest.raises(errors.DataError, match='sets that are mixed must be'):
    joined.schema(['video_tokens'])
  assert set(joined.schema(['clip_id'])) == {'clip_id'}


def test_a_set_is_opened_once_while_unchanged(token_set):
  opened = records.open_records(token_set)
  assert records.open_records(pathlib.Path(token_set)) is opened
  assert records.open_joined([token_set]) is opened
