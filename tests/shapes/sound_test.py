"""The sound of a scene: pitch, glide, notes and clicks."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import scene as shapes_scene
from videopoet_jax.shapes import sound

_RATE = 16_000
_CONFIG = shapes_config.ShapesConfig()
_NOTE = 4000  # Samples: a quarter of a second.


@pytest.mark.parametrize('kind', range(3))
@pytest.mark.parametrize('direction', range(8))
def test_a_note_glides_about_the_pitch_of_its_kind(kind, direction):
  phase = sound.note_phase(kind, direction, _RATE)
  assert len(phase) == _NOTE and phase[0] == 0
  hertz = np.diff(phase) * _RATE / (2 * np.pi)
  middle = _NOTE // 2
  assert hertz[middle - 1 : middle + 1].mean() == pytest.approx(
    220 * 2**kind, rel=1e-3
  )
  octaves = np.diff(np.log2(hertz)) * _RATE
  np.testing.assert_allclose(octaves, sound.GLIDES_D[direction], rtol=1e-3)


def test_what_moves_up_or_right_rises():
  # 'right', 'down right', 'down', 'down left', 'left', 'up left', ...
  assert (np.sign(sound.GLIDES_D) == [1, -1, -1, -1, -1, 1, 1, 1]).all()
  assert len(set(sound.GLIDES_D)) == 8


def _scene(start=(16.0, 16.0), velocity=(0.45, 0.0), kind=1, shapes=1):
  shape = shapes_scene.Shape(
    kind=kind, colour=0, direction=0, speed=0, radius=6.0, start=start,
    velocity=velocity, walls=((6.0, 26.0), (6.0, 26.0)),
  )  # fmt: skip
  return shapes_scene.Scene((shape,) * shapes, 0, ())


def test_between_bounces_notes_repeat():
  audio = sound.waveform(_scene(), _CONFIG)
  assert audio.dtype == np.int16 and len(audio) == 34_000
  for number in range(1, 8):
    part = audio[number * _NOTE : (number + 1) * _NOTE]
    np.testing.assert_array_equal(part, audio[:_NOTE])
  # Notes fade in and out; the tone is as loud as it is said to be.
  assert abs(int(audio[0])) == 0 and abs(int(audio[_NOTE - 1])) < 20
  assert np.abs(audio.astype(int)).max() == pytest.approx(
    0.35 * 32768, rel=0.01
  )


def test_a_bounce_clicks_and_turns_the_glide():
  # From x = 20 to the wall at 26 it takes ten frames, 1.25 s.
  audio = sound.waveform(_scene((20.0, 16.0), (0.6, 0.0)), _CONFIG)
  bounce = round(1.25 * _RATE)
  straight = sound.waveform(_scene(), _CONFIG)
  np.testing.assert_array_equal(audio[:bounce], straight[:bounce])
  click = audio[bounce : bounce + 400].astype(int)
  assert np.abs(click).max() > 0.55 * 32768
  # After the click, the glide is that of moving left.
  after = slice(bounce + 4000, bounce + 8000)
  time = np.arange(_NOTE) / _RATE
  fade = np.clip(np.minimum(time, time[-1] - time) / 0.006, 0, 1)
  wanted = 0.35 * 32768 * fade * np.sin(sound.note_phase(1, 4, _RATE))
  # A note begins at every multiple of 4,000 samples; the bounce is at one.
  np.testing.assert_allclose(audio[after], wanted, atol=2)


def test_two_shapes_share_the_loudness():
  one = sound.waveform(_scene(), _CONFIG).astype(int)
  two = sound.waveform(_scene(shapes=2), _CONFIG).astype(int)
  np.testing.assert_allclose(one, two, atol=1)
  mixed = dataclasses.replace(
    _scene(),
    shapes=(*_scene(kind=0).shapes, *_scene(kind=2).shapes),
  )
  low, high = (
    sound.waveform(_scene(kind=kind), _CONFIG).astype(int) for kind in (0, 2)
  )
  np.testing.assert_allclose(
    sound.waveform(mixed, _CONFIG), (low + high) / 2, atol=2
  )


def test_a_click_at_the_end_is_cut_off():
  # The wall is met in the very last frame.
  audio = sound.waveform(_scene((16.5, 16.0), (0.56, 0.0)), _CONFIG)
  assert len(audio) == 34_000
  assert np.abs(audio[-200:].astype(int)).max() > 0.4 * 32768
