"""Earlier tokens near the place of the token to be predicted.

Attention can find these by itself; as an explicit input, side by side, they let
small models learn motion, in-filling and the relation of sound and picture much
sooner. All positions are derived from a layout.
"""

import collections
from collections.abc import Callable, Iterable, Sequence
import dataclasses

import numpy as np

from videopoet_jax.core import layout as layout_lib
from videopoet_jax.core import types

Modality = types.Modality

_SQUARE = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))
# (latent frame, row, column) from the cell to be predicted: the same frame as
# far as it is decoded (in raster order), the frame before, and the one before
# that.
_NEIGHBOURS = (
  ((0, 0, -1), (0, -1, -1), (0, -1, 0), (0, -1, 1))
  + tuple((-1, *offset) for offset in _SQUARE)
  + tuple((-2, *offset) for offset in _SQUARE)
)
# A condition is complete: its same frame, and the next.
_CONDITION = tuple((0, *offset) for offset in _SQUARE) + tuple(
  (1, *offset) for offset in _SQUARE
)
# Instants of sound that belong to a latent frame of video, and the latest
# sound.
_INSTANTS = 4
# Rows and columns of a frame that belong to an instant of sound.
_VIEW = 4
_VIEW_FRAMES = (-1, 0, 1)
# Rounding of times, in seconds.
_MOMENT = 1e-6


@dataclasses.dataclass(frozen=True)
class Place:
  """A position whose token comes from the example.

  Attributes:
    position: index in the sequence.
    segment: segment that it lies in.
    at: (latent frame, row, column), or (latent frame, level, 0) of audio.
  """

  position: int
  segment: layout_lib.Segment
  at: tuple[int, int, int]

  @property
  def stop(self) -> float:
    """End of its latent frame, in seconds."""
    return self.segment.ends[self.at[0] - self.segment.start]


def _places(
  layout: layout_lib.SequenceLayout, modality: Modality
) -> list[Place]:
  places = []
  for segment in layout.filled():
    if segment.modality is modality:
      positions = layout.slices[segment.name]
      for position in range(positions.start, positions.stop):
        frame, second, third = (int(c) for c in layout.coordinates_L3[position])
        places.append(Place(position, segment, (frame, second, third)))
  return places


def _of_one_feature(places: Sequence[Place]) -> list[Place]:
  """The places of the feature that has most of them, the first of equals.

  A source has one set of slots: if they held tokens of several features, the
  model could not tell which is which. Attention reads the other features.
  """
  counts = collections.Counter(place.segment.feature for place in places)
  chosen = max(counts, key=lambda feature: counts[feature], default='')
  return [place for place in places if place.segment.feature == chosen]


def _targets(places: Iterable[Place]) -> list[Place]:
  return [p for p in places if p.segment.role is types.Role.TARGET]


def _shifted(
  place: tuple[int, int, int], offset: tuple[int, int, int]
) -> tuple[int, int, int]:
  return (
    place[0] + offset[0],
    place[1] + offset[1],
    place[2] + offset[2],
  )


def neighbours_LK(layout: layout_lib.SequenceLayout) -> np.ndarray:
  """The same clip's tokens near the cell, in this and two earlier frames."""
  places = _places(layout, Modality.VISUAL)
  known = {(p.segment.feature, p.at): p.position for p in places}
  found = np.full((layout.length, len(_NEIGHBOURS)), -1, np.int32)
  for place in places:
    for slot, offset in enumerate(_NEIGHBOURS):
      key = place.segment.feature, _shifted(place.at, offset)
      source = known.get(key, -1)
      if 0 <= source < place.position:
        found[place.position - 1, slot] = source
  return found


def condition_LK(layout: layout_lib.SequenceLayout) -> np.ndarray:
  """Another clip's tokens near the cell: the masked clip, flow and depth.

  If there are several conditions, the one with most tokens is taken, the first
  of equals.
  """
  places = _places(layout, Modality.VISUAL)
  given = [p for p in places if p.segment.role is types.Role.PREFIX]
  known = {
    feature: {
      p.at: p.position
      for p in _of_one_feature(
        [p for p in given if p.segment.feature != feature]
      )
    }
    for feature in {p.segment.feature for p in _targets(places)}
  }
  found = np.full((layout.length, len(_CONDITION)), -1, np.int32)
  for place in _targets(places):
    for slot, offset in enumerate(_CONDITION):
      source = known[place.segment.feature].get(_shifted(place.at, offset), -1)
      found[place.position - 1, slot] = source
  return found


def sound_LK(layout: layout_lib.SequenceLayout) -> np.ndarray:
  """Sound of the same time on every level, at `_INSTANTS` in the frame."""
  levels = layout.vocabulary.audio_levels
  found = np.full((layout.length, _INSTANTS * levels), -1, np.int32)
  visual = _places(layout, Modality.VISUAL)
  stops = {p.at[0]: p.stop for p in visual}
  sound = _of_one_feature(_places(layout, Modality.AUDIO))
  for level in range(levels):
    heard = [p for p in sound if p.at[1] == level]
    stops_A = np.array([p.stop for p in heard])
    for place in _targets(visual):
      begin = stops.get(place.at[0] - 1, 0.0)
      for instant in range(_INSTANTS):
        share = (instant + 1) / _INSTANTS
        time = begin + share * (place.stop - begin)
        # The latent frame of this moment.
        index = int(np.searchsorted(stops_A, time - _MOMENT))
        if index < len(heard) and heard[index].position < place.position:
          slot = instant * levels + level
          found[place.position - 1, slot] = heard[index].position
  return found


def echo_LK(layout: layout_lib.SequenceLayout) -> np.ndarray:
  """The latest instants of sound and this one, on every decoded level."""
  levels = layout.vocabulary.audio_levels
  places = _places(layout, Modality.AUDIO)
  known = {(p.segment.feature, p.at): p.position for p in places}
  found = np.full((layout.length, _INSTANTS * levels), -1, np.int32)
  for place in places:
    for back in range(_INSTANTS):
      for level in range(levels):
        key = place.segment.feature, (place.at[0] - back, level, 0)
        source = known.get(key, -1)
        if 0 <= source < place.position:
          found[place.position - 1, back * levels + level] = source
  return found


def sight_LK(layout: layout_lib.SequenceLayout) -> np.ndarray:
  """The frame that is shown during a sound, and its neighbours.

  At most `_VIEW` rows and columns, spread evenly over the frame.
  """
  slots = len(_VIEW_FRAMES) * _VIEW**2
  found = np.full((layout.length, slots), -1, np.int32)
  seen = _of_one_feature(_places(layout, Modality.VISUAL))
  if not seen:
    return found
  known = {p.at: p.position for p in seen}
  stops = {p.at[0]: p.stop for p in seen}
  rows, columns = seen[0].segment.shape[1:]
  for place in _targets(_places(layout, Modality.AUDIO)):
    frame = min(
      (f for f, stop in stops.items() if stop >= place.stop - _MOMENT),
      default=max(stops),
    )
    for slot in range(slots):
      step, cell = divmod(slot, _VIEW**2)
      row, column = divmod(cell, _VIEW)
      if row < rows and column < columns:
        at = (
          frame + _VIEW_FRAMES[step],
          row * max(rows, _VIEW) // _VIEW,
          column * max(columns, _VIEW) // _VIEW,
        )
        source = known.get(at, -1)
        if 0 <= source < place.position:
          found[place.position - 1, slot] = source
  return found


@dataclasses.dataclass(frozen=True)
class Source:
  """A group of earlier tokens.

  Attributes:
    modality: modality of all its tokens.
    places: number of places, for audio on each level.
    find: int32 (L, slots) of a layout: in row p, positions for the token at p +
      1, all of them at most p; -1 where there is none.
  """

  modality: Modality
  places: int
  find: Callable[[layout_lib.SequenceLayout], np.ndarray]

  def slots(self, audio_levels: int) -> int:
    """Number of tokens that it has room for."""
    is_audio = self.modality is Modality.AUDIO
    return self.places * (audio_levels if is_audio else 1)


SOURCES: dict[str, Source] = {
  'neighbours': Source(Modality.VISUAL, len(_NEIGHBOURS), neighbours_LK),
  'condition': Source(Modality.VISUAL, len(_CONDITION), condition_LK),
  'sound': Source(Modality.AUDIO, _INSTANTS, sound_LK),
  'echo': Source(Modality.AUDIO, _INSTANTS, echo_LK),
  'sight': Source(Modality.VISUAL, len(_VIEW_FRAMES) * _VIEW**2, sight_LK),
}
