"""What generation gives: how long, and which files of it."""

import dataclasses
import json

import numpy as np
from PIL import Image
import pytest

from videopoet_jax.core import errors
from videopoet_jax.inference import clips

_SOUND = np.arange(8000, dtype=np.int16)


def _clip(frames=4, sound=False, text='', size=32):
  video = None
  if frames:
    video = np.full((frames, size, size, 3), 90, np.uint8)
  return clips.Clip(video, _SOUND if sound else None, 8.0, 16_000, text)


def test_seconds():
  assert _clip(4).seconds == 0.5
  assert _clip(4, sound=True).seconds == 0.5
  assert _clip(0, sound=True).seconds == 0.5
  picture = _clip(1)
  assert picture.is_picture and picture.seconds == 0
  assert not _clip(2).is_picture and not _clip(0, sound=True).is_picture


@pytest.mark.parametrize(
  ('name', 'start'),
  [
    ('a.gif', b'GIF8'),
    ('a.png', b'\x89PNG'),
    ('a.WAV', b'RIFF'),
    ('folder/a.png', b'\x89PNG'),
  ],
)
def test_the_suffix_chooses_the_file(tmp_path, name, start):
  path = _clip(2, sound=True).save(tmp_path / name)
  assert path == tmp_path / name
  assert path.read_bytes().startswith(start)


def test_what_a_clip_lacks_cannot_be_saved(tmp_path):
  with pytest.raises(errors.DataError, match='no frames; save it as .wav'):
    _clip(0, sound=True).save(tmp_path / 'a.png')
  with pytest.raises(errors.DataError, match='no sound'):
    _clip(2).save(tmp_path / 'a.wav')
  with pytest.raises(errors.DataError, match='one of .mp4, .gif, .png, .wav'):
    _clip(2).save(tmp_path / 'a.avi')
  with pytest.raises(errors.DataError, match='no sound'):
    _ = _clip(0).seconds


def test_a_notebook_shows_pictures_sound_and_prompt():
  page = _clip(2, sound=True, text='a <b>')._repr_html_()
  assert page.count('<img src="data:image/webp') == 1
  assert page.count('<audio controls src="data:audio/wav') == 1
  assert '<figcaption>a &lt;b&gt;</figcaption>' in page and '<b>' not in page
  assert 'figcaption' not in _clip(2)._repr_html_()
  assert '<img' not in _clip(0, sound=True)._repr_html_()
  both = clips.Clips((_clip(2), _clip(2)), 'x')._repr_html_()
  assert both.count('<figure>') == 2


def test_samples_are_a_sequence():
  one, two = _clip(1), _clip(2)
  found = clips.Clips((one, two), 'x')
  assert len(found) == 2 and found[1] is two and found[:1] == (one,)
  assert list(found) == [one, two] and found.index(two) == 1
  assert one in found and _clip(1) not in found


def test_pictures_and_what_is_told_of_them(tmp_path):
  found = clips.Clips(
    (_clip(1), _clip(1)),
    'text_to_image/1x32x32',
    record={'seed': 3},
    upscaled_BTHWC=np.full((2, 1, 64, 64, 3), 30, np.uint8),
  )
  names = found.save(tmp_path / 'out')
  assert names == [
    'sample_000.png', 'sample_001.png', 'contact_sheet.png',
    'upscaled/sample_000.png', 'upscaled/sample_001.png',
    'upscaled/contact_sheet.png',
  ]  # fmt: skip
  assert all((tmp_path / 'out' / name).is_file() for name in names)
  with Image.open(tmp_path / 'out/upscaled/sample_000.png') as picture:
    assert np.asarray(picture)[0, 0].tolist() == [30, 30, 30]
  told = json.loads((tmp_path / 'out/generation.json').read_text())
  assert told == {'seed': 3, 'layout': 'text_to_image/1x32x32', 'files': names}


def test_sound_of_ones_own_comes_first(tmp_path):
  sounds = (_clip(0, sound=True),)
  found = clips.Clips(sounds, 'x', has_own_sound=True)
  assert found.save(tmp_path) == ['sample_000.wav']
  # A sound that was given is not written by itself.
  both = clips.Clips((_clip(1, sound=True),), 'x')
  assert 'sample_000.wav' not in both.save(tmp_path / 'b')


def test_as_many_larger_samples_as_samples(tmp_path):
  found = clips.Clips(
    (_clip(1), _clip(1)), 'x', upscaled_BTHWC=np.zeros((1, 1, 64, 64, 3), 'u1')
  )
  with pytest.raises(ValueError, match='shorter'):
    found.save(tmp_path)
  assert dataclasses.replace(found, upscaled_BTHWC=None).save(tmp_path)
