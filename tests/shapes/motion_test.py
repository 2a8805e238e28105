"""Motion between two walls, against a simulation."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from videopoet_jax.shapes import motion


def test_reflection_matches_a_simulation():
  value, velocity, low, high = 5.0, 0.75, 1.0, 9.0
  expected, now, heading = [], value, velocity
  for _ in range(200):
    expected.append(now)
    now += heading
    if now > high:
      now, heading = 2 * high - now, -heading
    elif now < low:
      now, heading = 2 * low - now, -heading
  free = value + velocity * np.arange(200)
  np.testing.assert_allclose(motion.reflect(free, low, high), expected)
  assert motion.bounce_times(value, velocity, low, high, 20.0) == (
    pytest.approx([16 / 3, 16])
  )


_speeds = st.floats(-3, 3).filter(lambda speed: abs(speed) > 0.05)


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.floats(0, 1), _speeds, st.floats(-5, 5), st.floats(1, 9))
def test_a_shape_stays_between_the_walls_and_keeps_its_speed(
  share, speed, low, span
):
  high = low + span
  times = np.arange(0, 30, 0.01)
  free = low + share * span + speed * times
  path = motion.reflect(free, low, high)
  assert (path >= low - 1e-9).all() and (path <= high + 1e-9).all()
  steps = np.abs(np.diff(path))
  assert (steps <= abs(speed) * 0.01 + 1e-9).all()
  # Only a step that holds a bounce is shorter.
  shorter = (steps < abs(speed) * 0.01 - 1e-9).sum()
  start = low + share * span
  bounces = motion.bounce_times(start, speed, low, high, 30.0)
  assert shorter <= len(bounces) + 1


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.floats(0.01, 0.99), _speeds, st.floats(0.5, 40))
def test_a_bounce_is_where_the_path_meets_a_wall(share, speed, until):
  low, high = 2.0, 7.0
  start = low + share * (high - low)
  times = np.array(motion.bounce_times(start, speed, low, high, until))
  assert (times > 0).all() and (times < until).all()
  assert (np.diff(times) > 0).all()
  walls = motion.reflect(start + speed * times, low, high)
  near = np.minimum(np.abs(walls - low), np.abs(walls - high))
  np.testing.assert_allclose(near, 0, atol=1e-6)
  # No bounce is missing: the whole way is split at each of them.
  first = ((high if speed > 0 else low) - start) / speed
  period = (high - low) / abs(speed)
  wanted = 0 if until <= first else 1 + int((until - first) / period)
  assert abs(len(times) - wanted) <= (
    abs((until - first) / period - round((until - first) / period)) < 1e-6
  )


def test_what_stands_still_meets_no_wall():
  assert motion.bounce_times(5.0, 0.0, 1.0, 9.0, 100.0) == []
  # What begins at a wall and leaves it has not bounced.
  assert motion.bounce_times(1.0, 2.0, 1.0, 9.0, 5.0) == [4.0]
