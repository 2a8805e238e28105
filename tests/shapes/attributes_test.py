"""Tables of what a shape can be agree with each other."""

import numpy as np
import pytest

from videopoet_jax.shapes import attributes


@pytest.mark.parametrize('index', range(8))
def test_headings_are_what_their_names_say(index):
  name, (x, y) = attributes.DIRECTIONS[index], attributes.HEADINGS_D2[index]
  words = set(name.split())
  assert (x > 1e-9) == ('right' in words) and (x < -1e-9) == ('left' in words)
  # y grows downwards.
  assert (y > 1e-9) == ('down' in words) and (y < -1e-9) == ('up' in words)
  assert np.hypot(x, y) == pytest.approx(1)
  assert attributes.direction_of(x, y) == index


def test_the_nearest_direction_is_taken():
  for index in range(8):
    for turn in (-20, 20):
      angle = np.deg2rad(45 * index + turn)
      assert attributes.direction_of(np.cos(angle), np.sin(angle)) == index


def test_colours_are_as_far_apart_as_they_are_said_to_be():
  palette = attributes.PALETTE_C3
  assert len(palette) == len(attributes.COLOURS)
  pairs = np.linalg.norm(palette[:, None] - palette[None], axis=-1)
  assert pairs[~np.eye(len(palette), dtype=bool)].min() >= 140
  grounds = attributes.GROUNDS_G3
  assert np.linalg.norm(palette[:, None] - grounds[None], axis=-1).min() >= 100


def test_a_kind_has_a_row_in_every_table():
  count = len(attributes.KINDS)
  areas = attributes.AREAS_K
  assert attributes.HALF_EXTENTS_K2.shape == (count, 2)
  assert len(areas) == len(attributes.MASS_BELOW_MIDDLE_K) == count
  # None can be told by its area.
  assert areas.max() / areas.min() < 1.25
  # Of the box that holds it a circle fills pi / 4, a triangle half.
  boxes = 4 * attributes.HALF_EXTENTS_K2.prod(axis=1)
  np.testing.assert_allclose(areas / boxes, [np.pi / 4, 1, 0.5])
