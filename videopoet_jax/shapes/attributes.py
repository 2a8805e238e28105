"""Attributes of shapes: names, colours, directions and speeds.

Every label of the data set is an index into one of these tuples. They are plain
data, shared by the renderer, the caption, the sound and the oracle.
"""

import numpy as np

KINDS = ('circle', 'square', 'triangle')
COLOURS = ('red', 'yellow', 'green', 'cyan', 'blue', 'magenta')
# Clockwise on the screen from the right; x grows right, y grows down.
DIRECTIONS = (
  'right',
  'down right',
  'down',
  'down left',
  'left',
  'up left',
  'up',
  'up right',
)
SPEEDS = ('slowly', 'quickly')

# sRGB bytes; every pair is at least 140 apart, every ground at least 100.
PALETTE_C3 = np.array(
  [
    (228, 44, 44),
    (238, 218, 48),
    (44, 196, 76),
    (64, 218, 232),
    (44, 76, 236),
    (222, 60, 212),
  ],
  np.float32,
)
GROUNDS_G3 = np.array(
  [(26, 27, 31), (50, 54, 64), (76, 70, 62), (94, 98, 102)], np.float32
)

_DIAGONAL = 2.0**-0.5
# Unit vectors (x, y) of DIRECTIONS.
HEADINGS_D2 = np.array(
  [
    (1, 0),
    (_DIAGONAL, _DIAGONAL),
    (0, 1),
    (-_DIAGONAL, _DIAGONAL),
    (-1, 0),
    (-_DIAGONAL, -_DIAGONAL),
    (0, -1),
    (_DIAGONAL, -_DIAGONAL),
  ],
  np.float64,
)

# Half width and half height of a shape's bounding box, in units of radius.
# The three have similar areas, so that the area alone does not tell them apart.
HALF_EXTENTS_K2 = np.array([(1.0, 1.0), (0.9, 0.9), (1.2, 1.1)], np.float64)
# Area in units of radius squared.
AREAS_K = np.array([np.pi, 4 * 0.9 * 0.9, 2 * 1.2 * 1.1], np.float64)
# The centre of mass, below the middle of the bounding box, in half heights.
MASS_BELOW_MIDDLE_K = np.array([0.0, 0.0, 1.0 / 3.0], np.float64)


def direction_of(x: float, y: float) -> int:
  """Index of the direction nearest to the vector (x right, y down)."""
  return int(np.argmax(HEADINGS_D2 @ np.array([x, y], np.float64)))
