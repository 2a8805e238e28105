"""The oracle of sound."""

import numpy as np
import pytest

from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import oracle_sound
from videopoet_jax.shapes import scene as shapes_scene
from videopoet_jax.shapes import sound

_CONFIG = shapes_config.ShapesConfig()


@pytest.fixture(scope='module')
def held_out():
  scenes = [
    shapes_scene.sample(_CONFIG, 'test_held_out', n) for n in range(400)
  ]
  return scenes, np.stack([sound.waveform(s, _CONFIG) for s in scenes])


def _share(readings, scenes, tolerance=0.01):
  right = []
  for reading, scene in zip(readings, scenes):
    (shape,) = scene.shapes
    directions = tuple(direction for _, direction in shape.legs(17))
    right.append(
      reading.valid
      and reading.kind == shape.kind
      and reading.direction == shape.direction
      and reading.directions == directions
      and reading.clicks_match(scene.bounces(_CONFIG), tolerance)
    )
  return np.mean(right)


def test_ground_truth_is_heard_before_and_after_bounces(held_out):
  scenes, audio = held_out
  assert _share(oracle_sound.read_sounds(audio, _CONFIG), scenes) >= 0.995
  after = {
    scene.shapes[0].legs(17)[1][1] for scene in scenes if scene.bounces(_CONFIG)
  }
  assert after == set(range(8))


def test_what_a_codec_does_is_forgiven(held_out):
  scenes, audio = held_out
  scenes, clean = scenes[:100], audio[:100] / 32768
  rng = np.random.default_rng(0)
  for changed in (
    clean + rng.normal(0, 0.1, clean.shape),
    clean * 0.4,
    np.roll(clean, 16, axis=1),
  ):
    readings = oracle_sound.read_sounds(changed, _CONFIG)
    assert _share(readings, scenes, 0.05) >= 0.99


def test_noise_silence_and_reversed_sound_fail(held_out):
  scenes, audio = held_out
  # Whole notes; and there and back again sounds the same from both ends.
  steady = [n for n, s in enumerate(scenes) if not s.bounces(_CONFIG)][:100]
  scenes, audio = [scenes[n] for n in steady], audio[steady]
  rng = np.random.default_rng(0)
  for fake in (rng.normal(0, 0.2, audio.shape), np.zeros_like(audio)):
    readings = oracle_sound.read_sounds(fake, _CONFIG)
    assert not any(reading.valid for reading in readings)
  readings = oracle_sound.read_sounds(audio[:, 31_999::-1], _CONFIG)
  assert _share(readings, scenes, 0.05) == 0


def test_missing_added_and_late_clicks_are_told(held_out):
  scenes, audio = held_out
  bouncing = [n for n, s in enumerate(scenes) if s.bounces(_CONFIG)][:20]
  readings = oracle_sound.read_sounds(audio[bouncing], _CONFIG)
  for n, reading in zip(bouncing, readings):
    (time,) = scenes[n].bounces(_CONFIG)
    assert not reading.clicks_match(())
    assert not reading.clicks_match((time + 0.06,))
    assert not reading.clicks_match((time, time + 0.3))
    assert reading.clicks_match((time + 0.04,))


def test_a_later_part_is_read_on_the_grid_of_its_clip(held_out):
  scenes, audio = held_out
  begin = 17_000
  readings = oracle_sound.read_sounds(
    audio[:100, begin:], _CONFIG, offset_seconds=begin / 16_000
  )
  right = []
  for reading, scene in zip(readings, scenes):
    (shape,) = scene.shapes
    leg = [d for t, d in shape.legs(17) if t / 8 < begin / 16_000][-1]
    near = any(abs(t - begin / 16_000) < 0.2 for t in scene.bounces(_CONFIG))
    if not near:
      right.append(reading.kind == shape.kind and reading.direction == leg)
  assert len(right) > 60 and np.mean(right) >= 0.99
