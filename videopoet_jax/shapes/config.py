"""The size and the content of shapes in motion."""

import dataclasses
from typing import Any

from videopoet_jax.core import errors

_EDGES = ('bounce', 'leave', 'mixed')
_GROUNDS = ('plain', 'textured', 'mixed')
# Fields of `ShapesConfig` that are not at their default, by level.
LEVELS: dict[str, dict[str, Any]] = {
  'easy': {'ground': 'plain', 'bounce_share': 0.0},
  'standard': {},
}


@dataclasses.dataclass(frozen=True)
class ShapesConfig:
  """The content of a clip.

  Lengths in pixels are stated for a frame whose smaller side is 32 pixels and
  grow with that side, so that a clip looks the same at any resolution.

  Attributes:
    frames: frames in a clip.
    height: rows of a frame, in pixels.
    width: columns of a frame, in pixels.
    frame_rate: frames a second.
    sampling_rate: sound samples a second.
    min_shapes: fewest shapes in a clip, 1 or 2.
    max_shapes: most shapes in a clip, 1 or 2.
    ground: 'plain', 'textured' (a faint static pattern) or 'mixed' (half and
      half).
    texture: amplitude of the pattern, in levels of 255.
    edges: what a shape does at the edge of the frame: 'bounce', 'leave', or
      'mixed' (half of the clips each). A clip whose shape leaves looks like
      one whose shape will bounce until it does, so only 'bounce' makes the
      future a function of the past.
    bounce_share: share of the clips of bouncing shapes in which a bounce is
      arranged; in the others the shape stays clear of the edges, if the clip
      is short enough for that. In clips of leaving shapes it is the share
      that reaches an edge.
    min_bounce_frame: no bounce is arranged before this frame, so that the
      first direction can be seen first.
    min_frames_after: least number of frames that follow an arranged bounce.
    min_radius: smallest radius, in pixels of a 32-pixel frame.
    max_radius: largest radius, in pixels of a 32-pixel frame.
    slow: speed of 'slowly', in pixels a frame of a 32-pixel frame.
    fast: speed of 'quickly', in pixels a frame of a 32-pixel frame.
    seed: seed of the data set, which is a function of it.
  """

  frames: int = 17
  height: int = 32
  width: int = 32
  frame_rate: int = 8
  sampling_rate: int = 16_000
  min_shapes: int = 1
  max_shapes: int = 1
  ground: str = 'mixed'
  texture: float = 5.0
  edges: str = 'bounce'
  bounce_share: float = 0.35
  min_bounce_frame: float = 5.0
  min_frames_after: float = 4.0
  min_radius: float = 6.0
  max_radius: float = 7.0
  slow: float = 0.45
  fast: float = 0.8
  seed: int = 0

  def __post_init__(self) -> None:
    """Raises errors.ConfigError if the values do not make a clip."""
    for name, known in (('edges', _EDGES), ('ground', _GROUNDS)):
      if getattr(self, name) not in known:
        raise errors.ConfigError(
          f'ShapesConfig.{name} is {getattr(self, name)!r}; expected one of '
          f'{", ".join(known)}.'
        )
    if not 1 <= self.min_shapes <= self.max_shapes <= 2:
      raise errors.ConfigError(
        'ShapesConfig needs 1 <= min_shapes <= max_shapes <= 2; got '
        f'{self.min_shapes} and {self.max_shapes}.'
      )
    if self.frames < 1 or min(self.height, self.width) < 16:
      raise errors.ConfigError(
        'ShapesConfig needs at least 1 frame of at least 16 x 16 pixels; got '
        f'{self.frames} of {self.height} x {self.width}.'
      )
    if not 0 < self.min_radius <= self.max_radius <= 8:
      raise errors.ConfigError(
        'ShapesConfig needs 0 < min_radius <= max_radius <= 8 (pixels of a '
        f'32-pixel frame); got {self.min_radius} and {self.max_radius}.'
      )

  @classmethod
  def of_level(cls, level: str) -> 'ShapesConfig':
    """The clips of a level.

    Args:
      level: 'standard' (the defaults), or 'easy': one shape on plain ground
        that meets no edge.

    Raises:
      ConfigError: there is no such level.
    """
    errors.check_choice('level of shapes in motion', level, LEVELS)
    return cls(**LEVELS[level])

  @property
  def scale(self) -> float:
    """Pixels of this frame for one pixel of a 32-pixel frame."""
    return min(self.height, self.width) / 32

  @property
  def seconds(self) -> float:
    """Length of a clip in seconds."""
    return self.frames / self.frame_rate

  @property
  def samples(self) -> int:
    """Sound samples in a clip."""
    return round(self.seconds * self.sampling_rate)

  @property
  def speeds(self) -> tuple[float, float]:
    """Speeds of `attributes.SPEEDS` in pixels a frame."""
    return (self.slow * self.scale, self.fast * self.scale)
