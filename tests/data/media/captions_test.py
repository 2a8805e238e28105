"""Tests of captions files in their three forms, and of their mistakes."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.data.media import captions
from videopoet_jax.data.media import clips

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
