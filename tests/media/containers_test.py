"""What is wrong with a media file is told in one line that names it."""

import types

import av
import numpy as np
import pytest

from tests.media import media_files
from videopoet_jax.core import errors
from videopoet_jax.media import containers
from videopoet_jax.media import files


@pytest.fixture(name='video', scope='module')
def _video(tmp_path_factory):
  frames = media_files.ramp(1.0, 8.0, 16, 16)
  path = tmp_path_factory.mktemp('media') / 'a.mp4'
  return media_files.write(path, frames, 8.0)


def _message(path, **options):
  with pytest.raises(containers.UnusableFileError) as raised:
    with containers.opened(path, **options):
      pass
  text = str(raised.value)
  assert '\n' not in text and text.startswith(f'{path}: ')
  return text.removeprefix(f'{path}: ')


def test_frames_of_a_file(video):
  with containers.opened(video) as container:
    stream = containers.video_of(container, video)
    assert containers.pictures_of(container) is stream
    found = list(containers.decoded(container, stream, video))
  assert len(found) == 8


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'is empty (0 bytes)'),
    (b'just some text', 'is not a video that FFmpeg can read'),
    (b'\0\0\0\x20ftypisom', 'is cut off or damaged'),
    (b'\0\0\0\x20mdatxxxx', 'is cut off or damaged'),
    (b'RIFF\0\0\0\0WAVE', 'is cut off or damaged'),
  ],
)
def test_files_that_are_none(tmp_path, content, message):
  path = tmp_path / 'a.mp4'
  path.write_bytes(content)
  assert _message(path).startswith(message)


def test_what_is_expected_is_a_part_of_the_message(tmp_path):
  path = tmp_path / 'a.wav'
  path.write_bytes(b'just some text')
  assert 'is not a sound that' in _message(path, what='a sound')
  assert 'cannot be read' in _message(tmp_path / 'none.mp4')


def test_a_file_without_pictures(tmp_path):
  path = tmp_path / 'a.wav'
  files.write_wav(path, np.zeros(800, np.int16), 8000)
  with containers.opened(path) as container:
    assert containers.pictures_of(container) is None
    with pytest.raises(containers.UnusableFileError, match='no video track'):
      containers.video_of(container, path)


class _Packet:
  def __init__(self, *times):
    self._times = times

  def decode(self):
    if not self._times:
      raise av.error.InvalidDataError(1, 'broken')
    return [types.SimpleNamespace(time=time) for time in self._times]


class _Container:
  def __init__(self, *packets):
    self._packets = packets

  def demux(self, stream):
    assert stream == 'stream'
    yield from self._packets


def test_damage_is_told_with_the_time_of_the_last_frame(tmp_path):
  path = tmp_path / 'a.mp4'
  container = _Container(_Packet(0.0, 1.25), _Packet(None), _Packet())
  seen = []
  with pytest.raises(containers.UnusableFileError) as raised:
    for frame in containers.decoded(container, 'stream', path):
      seen.append(frame.time)
  assert seen == [0.0, 1.25, None]
  assert str(raised.value) == f'{path}: is damaged at 1.2 s (broken)'


def test_an_unusable_file_is_an_error_of_the_users():
  assert issubclass(containers.UnusableFileError, errors.DataError)
  assert containers.text(OSError(2, 'No such file')) == 'No such file'
  assert containers.text(ValueError('odd')) == 'odd'
