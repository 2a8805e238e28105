"""Which earlier token lies at, or beside, the cell about to be predicted.

Attention can find these by itself; handing them over as an input makes small
models learn motion and in-filling much sooner. All is derived from a layout.
"""

from collections.abc import Callable

import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types

_Place = tuple[int, ...]


def _visual_places(
  layout: layout_lib.SequenceLayout,
) -> list[tuple[str, types.Role, int, _Place]]:
  """(feature, role, position, (frame, row, column)) of each visual token."""
  places = []
  for segment in layout.filled():
    if segment.modality is not types.Modality.VISUAL:
      continue
    positions = layout.slices[segment.name]
    for position in range(positions.start, positions.stop):
      place = tuple(int(c) for c in layout.coordinates_L3[position])
      places.append((segment.feature, segment.role, position, place))
  return places


def previous_frame_L(layout: layout_lib.SequenceLayout) -> np.ndarray:
  """Position of the same cell one latent frame before, same feature.

  Args:
    layout: any.

  Returns:
    int32 (L,): at p, for the token at p + 1; -1 where there is none.
  """
  places = _visual_places(layout)
  known = {(feature, place): position for feature, _, position, place in places}
  found = np.full(layout.length, -1, np.int32)
  for feature, _, position, (frame, row, column) in places:
    source = known.get((feature, (frame - 1, row, column)), -1)
    # A stylization's first frame may stand in the prefix behind nothing.
    if 0 <= source < position and position > 0:
      found[position - 1] = source
  return found


def condition_L(layout: layout_lib.SequenceLayout) -> np.ndarray:
  """Position of the same cell in a condition of another feature.

  The masked clip for in- and outpainting, flow and depth for stylization.

  Args:
    layout: any.

  Returns:
    int32 (L,): at p, for the target token at p + 1; -1 where there is none.
  """
  places = _visual_places(layout)
  conditions: dict[_Place, list[tuple[str, int]]] = {}
  for feature, role, position, place in places:
    if role is types.Role.PREFIX:
      conditions.setdefault(place, []).append((feature, position))
  found = np.full(layout.length, -1, np.int32)
  for feature, role, position, place in places:
    if role is types.Role.TARGET:
      for other, source in conditions.get(place, ()):
        if other != feature:
          found[position - 1] = source
  return found


SOURCES: dict[str, Callable[[layout_lib.SequenceLayout], np.ndarray]] = {
  'previous_frame': previous_frame_L,
  'condition': condition_L,
}
