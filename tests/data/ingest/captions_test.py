"""Tests of captions files in their three forms, and of their mistakes."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.data.ingest import captions
from videopoet_jax.data.ingest import clips

_SOURCES = ['day/a.mp4', 'day/b.mp4', 'night/a.mp4', 'c.webm']


def _clip(source: str, index: int = 0) -> clips.Clip:
  return clips.Clip(
    clip_id=f'{source}#{index:05d}',
    source=source,
    start=0.0,
    end=1.0,
    video_THWC=np.zeros((1, 1, 1, 3), np.uint8),
    audio_T=np.zeros(1, np.int16),
    has_audio=False,
  )


@pytest.mark.parametrize(
  ('name', 'text'),
  [
    ('c.csv', 'clip,caption\nday/a.mp4,"a dog, running"\nc,a cat\n'),
    ('c.json', '{"day/a.mp4": "a dog, running", "c": "a cat"}'),
    (
      'c.json',
      '[{"clip": "day/a.mp4", "caption": "a dog, running"},'
      ' {"clip": "c.webm", "caption": "a cat"}]',
    ),
    ('c.txt', 'day/a\ta dog, running\n\nc.webm\ta cat\n'),
    ('c.csv', '\ufeffclip,caption\nday/a.mp4,"a dog, running"\nc,a cat\n'),
  ],
)
def test_forms(tmp_path, name, text):
  path = tmp_path / name
  path.write_text(text, encoding='utf-8')
  found = captions.read_captions(path, _SOURCES)
  assert found.of(_clip('day/a.mp4')) == 'a dog, running'
  assert found.of(_clip('c.webm', 3)) == 'a cat'
  assert found.of(_clip('night/a.mp4')) == ''


def test_one_clip_of_a_file(tmp_path):
  path = tmp_path / 'c.txt'
  path.write_text('c.webm\tthe file\nc.webm#2\tthe third\n')
  found = captions.read_captions(path, _SOURCES)
  assert found.of(_clip('c.webm', 1)) == 'the file'
  assert found.of(_clip('c.webm', 2)) == 'the third'


def test_a_caption_of_two_lines(tmp_path):
  path = tmp_path / 'c.csv'
  path.write_text('clip,caption\nc.webm,"one\ntwo"\n')
  found = captions.read_captions(path, _SOURCES)
  assert found.of(_clip('c.webm')) == 'one\ntwo'


@pytest.mark.parametrize(
  ('name', 'text', 'message'),
  [
    ('c.txt', 'day/z.mp4\tnobody', "names 'day/z.mp4'.*did you mean"),
    ('c.txt', 'a.mp4\twhich', "'a.mp4' may be day/a.mp4 or night/a.mp4"),
    ('c.txt', 'no tab here', 'has no tab'),
    ('c.csv', 'file,text\na,b', 'needs a "clip" and a "caption"'),
    ('c.json', '{"a": 3}', 'both text'),
    ('c.json', '{"a": ', 'is not JSON'),
    ('c.json', '"a"', 'needs a "clip"'),
    ('c.xml', '<a/>', r'\.csv, \.json or \.txt'),
  ],
)
def test_mistakes_are_one_clear_message(tmp_path, name, text, message):
  path = tmp_path / name
  path.write_text(text)
  with pytest.raises(errors.DataError, match=message) as caught:
    captions.read_captions(path, _SOURCES)
  assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
  with pytest.raises(errors.DataError, match='cannot be read'):
    captions.read_captions(tmp_path / 'c.csv', _SOURCES)


def test_numbers_of_clips_and_files(tmp_path):
  path = tmp_path / 'c.csv'
  path.write_text(
    'clip,caption,quality,motion\n'
    'c.webm,a cat,0.5,2\nc.webm#1,it sits,,3\nday/a,a dog,1e-1,\n'
  )
  found = captions.read_captions(path, _SOURCES, ['quality', 'motion'])
  assert found.numbers_of(_clip('c.webm')) == {'quality': 0.5, 'motion': 2}
  assert found.numbers_of(_clip('c.webm', 1)) == {'quality': 0.5, 'motion': 3}
  dog = found.numbers_of(_clip('day/a.mp4'))
  assert dog['quality'] == 0.1 and np.isnan(dog['motion'])
  assert np.isnan(found.numbers_of(_clip('day/b.mp4'))['quality'])
  path = tmp_path / 'c.json'
  path.write_text('[{"clip": "c", "caption": "a cat", "quality": 2}]')
  found = captions.read_captions(path, _SOURCES, ['quality'])
  assert found.numbers_of(_clip('c.webm')) == {'quality': 2}


@pytest.mark.parametrize(
  ('name', 'text', 'message'),
  [
    ('c.csv', 'clip,caption,qualty\nc,a cat,1\n', "no 'quality'.*qualty"),
    ('c.csv', 'clip,caption,quality\nc,a cat,good\n', "'good', not a number"),
    ('c.json', '{"c": "a cat"}', "no 'quality'"),
    ('c.txt', 'c\ta cat\n', "no 'quality'"),
  ],
)
def test_numbers_that_are_not_there(tmp_path, name, text, message):
  path = tmp_path / name
  path.write_text(text)
  with pytest.raises(errors.DataError, match=message):
    captions.read_captions(path, _SOURCES, ['quality'])
