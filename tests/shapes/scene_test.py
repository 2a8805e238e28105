"""Scenes, splits and motion of shapes in motion."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import oracle
from videopoet_jax.shapes import scene as shapes_scene
from videopoet_jax.shapes import splits

_CONFIG = shapes_config.ShapesConfig()


def test_scene_is_a_function_of_seed_split_and_index():
  again = [shapes_scene.sample(_CONFIG, 'train', 7) for _ in range(2)]
  assert again[0] == again[1]
  others = [
    shapes_scene.sample(_CONFIG, 'train', 8),
    shapes_scene.sample(_CONFIG, 'validation', 7),
    shapes_scene.sample(dataclasses.replace(_CONFIG, seed=1), 'train', 7),
  ]
  assert all(other != again[0] for other in others)


def test_easy_clips_have_one_shape_on_plain_ground_without_bounces():
  easy = shapes_config.ShapesConfig.of_level('easy')
  for split in splits.SPLITS:
    for index in range(200):
      scene = shapes_scene.sample(easy, split, index)
      assert len(scene.shapes) == 1 and not scene.waves
      assert not scene.bounces(easy)


def test_levels_are_changes_of_one_config():
  assert shapes_config.ShapesConfig.of_level('standard') == _CONFIG
  assert shapes_config.ShapesConfig.of_level('easy') != _CONFIG
  with pytest.raises(errors.ConfigError, match="'esay'.*'easy'"):
    shapes_config.ShapesConfig.of_level('esay')


@pytest.mark.parametrize('split', splits.SPLITS)
def test_scenes_keep_to_their_split(split):
  drawn = {
    (shape.kind, shape.colour, shape.direction)
    for index in range(300)
    for shape in shapes_scene.sample(_CONFIG, split, index).shapes
  }
  assert drawn <= set(splits.triples(split))


def test_a_sizable_minority_bounces_once_within_the_stated_time():
  bounces = [
    shapes_scene.sample(_CONFIG, 'train', index).bounces(_CONFIG)
    for index in range(600)
  ]
  assert 0.3 < np.mean([bool(times) for times in bounces]) < 0.4
  assert max(map(len, bounces)) == 1
  times = [times[0] * _CONFIG.frame_rate for times in bounces if times]
  assert min(times) >= _CONFIG.min_bounce_frame
  assert max(times) <= _CONFIG.frames - _CONFIG.min_frames_after


@pytest.mark.parametrize('frames', [17, 41])
def test_bouncing_shapes_stay_inside(frames):
  config = dataclasses.replace(_CONFIG, frames=frames)
  for index in range(50):
    (shape,) = shapes_scene.sample(config, 'train', index).shapes
    positions_T2 = shape.positions(np.arange(frames))
    assert oracle.inside(positions_T2, shape.kind, shape.radius, config).all()


def test_legs_agree_with_positions():
  config = dataclasses.replace(_CONFIG, frames=41)
  compared = 0
  for index in range(40):
    (shape,) = shapes_scene.sample(config, 'train', index).shapes
    legs = shape.legs(config.frames)
    ends = [time for time, _ in legs[1:]] + [config.frames]
    for (begin, direction), end in zip(legs, ends):
      if end - begin < 0.1:
        continue
      times = np.array([begin + 0.01, end - 0.01])
      step_2 = np.diff(shape.positions(times), axis=0)[0]
      assert attributes.direction_of(*step_2) == direction
      compared += 1
  assert compared > 60


def test_leaving_shapes_leave_and_do_not_bounce():
  config = dataclasses.replace(_CONFIG, edges='leave')
  gone = 0
  for index in range(60):
    scene = shapes_scene.sample(config, 'train', index)
    (shape,) = scene.shapes
    assert not scene.bounces(config)
    positions_T2 = shape.positions(np.arange(config.frames))
    whole = oracle.inside(positions_T2, shape.kind, shape.radius, config)
    assert whole[:5].all()
    gone += not whole[-1]
  assert gone > 10


def test_two_shapes_differ_in_colour():
  config = dataclasses.replace(_CONFIG, min_shapes=2, max_shapes=2)
  for index in range(30):
    first, second = shapes_scene.sample(config, 'train', index).shapes
    assert first.colour != second.colour


def test_unknown_split_is_named():
  with pytest.raises(errors.DataError, match="'test'.*test_held_out"):
    shapes_scene.sample(_CONFIG, 'test', 0)
