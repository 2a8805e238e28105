"""How clips are cut out of videos; stored with a data set and checked later."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.core import errors

CONSECUTIVE = 'consecutive'
FIRST = 'first'
CENTRAL = 'central'
CUTS = (CONSECUTIVE, FIRST, CENTRAL)
NATIVE = 'native'  # The frame rate of each file itself.


@dataclasses.dataclass(frozen=True)
class Cut:
  """How the clips of a data set were cut.

  Attributes:
    cut: 'consecutive' takes all clips of a video, one after the other, 'first'
      the one at its start and 'central' the one in its middle.
    num_frames: frames of a clip.
    frame_rate: frames a second; None takes the frames that a file has.
    height: height in pixels.
    width: width in pixels.
  """

  cut: str
  num_frames: int
  frame_rate: float | None
  height: int
  width: int

  def metadata(self) -> dict[str, Any]:
    """Fields stored with a data set; its features hold the size."""
    return {
      'cut': self.cut,
      'num_frames': self.num_frames,
      'frame_rate': rate_name(self.frame_rate),
    }

  @property
  def flags(self) -> str:
    """Flags of `videopoet prepare` for this cut."""
    return (
      f'--cut {self.cut} --frames {self.num_frames} --frame_rate '
      f'{_text(self.frame_rate)} --height {self.height} --width {self.width}'
    )

  def __str__(self) -> str:
    return (
      f'{self.cut} clips of {self.num_frames} frames at the rate '
      f'{_text(self.frame_rate)}, {self.height} x {self.width} pixels'
    )


def of_set(metadata: Mapping[str, Any], size: tuple[int, ...]) -> Cut | None:
  """How a data set was cut; None if it is not recorded.

  Args:
    metadata: metadata of the data set.
    size: (frames, height, width, 3), the shape of its clips.
  """
  if 'cut' not in metadata:
    return None
  rate = parse_rate(metadata['frame_rate'], 'frame_rate')
  return Cut(str(metadata['cut']), size[0], rate, size[1], size[2])


def rate_name(frame_rate: float | None) -> float | str:
  """A frame rate as it is stored and written; see `parse_rate`."""
  return NATIVE if frame_rate is None else frame_rate


def parse_rate(value: Any, setting: str) -> float | None:
  """A frame rate, None for 'native'; ConfigError where it is neither."""
  if value == NATIVE:
    return None
  rate, told = 0.0, repr(value)
  try:
    rate = float(value)
    told = f'{rate:g}'
  except (TypeError, ValueError):
    pass
  if not 0 < rate < 1e6:
    raise errors.ConfigError(
      f'{setting} is {told}; expected frames a second above 0, or '
      f'{NATIVE!r}, the rate of each file.'
    )
  return rate


def _text(frame_rate: float | None) -> str:
  return NATIVE if frame_rate is None else f'{frame_rate:g}'
