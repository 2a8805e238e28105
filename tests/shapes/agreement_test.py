"""Whether sound and video tell one story, with readings made by hand."""

import dataclasses

import numpy as np
import pytest

from videopoet_jax.shapes import agreement
from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import motion
from videopoet_jax.shapes import oracle
from videopoet_jax.shapes import oracle_sound

_CONFIG = shapes_config.ShapesConfig()
_RIGHT, _LEFT = 0, 4


def _seen(start=(18.0, 16.0), direction=_RIGHT, noise=0.0):
  """A circle of radius 6 that moves quickly, 0.8 pixels a frame."""
  velocity = attributes.HEADINGS_D2[direction] * 0.8
  free = np.array(start) + np.outer(np.arange(17), velocity)
  positions = motion.reflect(free, np.array([6.0, 6.0]), np.array([26.0, 26.0]))
  drawn = np.random.default_rng(0).normal(size=positions.shape)
  return oracle.Reading(
    kind=0, colour=0, direction=direction, speed=1, radius=6.0,
    positions_T2=positions + noise * drawn, overlap_T=np.ones(17),
    whole_T=np.ones(17, bool), valid=True, steady=True,
  )  # fmt: skip


def _heard(clicks=(), directions=(_RIGHT,), **changes):
  heard = oracle_sound.SoundReading(
    kind=0, direction=directions[0], directions=directions, clicks=clicks,
    explained=1.0, valid=True,
  )  # fmt: skip
  return dataclasses.replace(heard, **changes)


# From x = 18, the wall at 26 is met after ten frames, 1.25 s.
_BOUNCED = _heard((1.25,), (_RIGHT, _LEFT))


@pytest.mark.parametrize('noise', [0.0, 0.15])
def test_the_path_is_that_of_the_positions(noise):
  seen = _seen(noise=noise)
  path = agreement.path_of(seen, _CONFIG)
  assert path.radius == 6.0 and path.walls == ((6.0, 26.0), (6.0, 26.0))
  np.testing.assert_allclose(path.velocity, (0.8, 0.0), atol=1e-12)
  np.testing.assert_allclose(path.start, (18.0, 16.0), atol=3 * noise + 1e-6)
  (_, (time, direction)) = path.legs(17)
  assert time == pytest.approx(10, abs=3 * noise + 1e-6)
  assert direction == _LEFT


def test_a_sound_that_fits():
  assert agreement.sound_fits_video(_BOUNCED, _seen(), _CONFIG)
  # Without a bounce there is no click.
  still = _seen((8.0, 16.0))
  assert agreement.sound_fits_video(_heard(), still, _CONFIG)
  assert not agreement.sound_fits_video(_BOUNCED, still, _CONFIG)


@pytest.mark.parametrize(
  'changes',
  [
    {'kind': 1},
    {'direction': 1},
    {'valid': False},
    {'clicks': ()},
    {'clicks': (1.25, 0.4)},
    {'directions': (_RIGHT, _RIGHT)},
    {'directions': (_LEFT, _LEFT)},
  ],
)
def test_a_sound_that_does_not(changes):
  heard = dataclasses.replace(_BOUNCED, **changes)
  assert not agreement.sound_fits_video(heard, _seen(), _CONFIG)


@pytest.mark.parametrize(
  ('shift', 'fits'),
  [(0.17, True), (-0.17, True), (0.18, False), (-0.18, False)],
)
def test_a_click_is_within_a_frame_and_50_ms(shift, fits):
  # 0.125 s + 0.05 s.
  heard = dataclasses.replace(_BOUNCED, clicks=(1.25 + shift,))
  assert agreement.sound_fits_video(heard, _seen(), _CONFIG) is fits


def test_legs_too_short_to_hear_are_left_open():
  heard = dataclasses.replace(_BOUNCED, directions=(_RIGHT, -1))
  assert agreement.sound_fits_video(heard, _seen(), _CONFIG)


def test_a_bounce_in_the_last_frames_may_be_heard_or_not():
  # The wall is met 1.5 frames before the end: from x = 13.6, after 15.5.
  seen = _seen((13.6, 16.0))
  assert agreement.sound_fits_video(_heard(), seen, _CONFIG)
  late = _heard((15.5 / 8,), (_RIGHT, _LEFT))
  assert agreement.sound_fits_video(late, seen, _CONFIG)
  # Three frames before the end it must be.
  seen = _seen((14.8, 16.0))
  assert not agreement.sound_fits_video(_heard(), seen, _CONFIG)
