"""Draws a clip's scene: a pure function of (seed, split, index)."""

import dataclasses

import numpy as np

from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import motion
from videopoet_jax.shapes import splits

# Two shapes share a frame made for one, so they are smaller.
_PAIR_SIZE = 0.7
# Between a wall and a shape that never meets it, in pixels of 32.
_GAP = 0.5


@dataclasses.dataclass(frozen=True)
class Shape:
  """One shape and its motion.

  Attributes:
    kind: index into attributes.KINDS.
    colour: index into attributes.COLOURS.
    direction: index into attributes.DIRECTIONS of the first motion.
    speed: index into attributes.SPEEDS.
    radius: radius in pixels.
    start: middle of the bounding box (x, y) at frame 0, in pixels; the middle
      of the top left pixel is (0.5, 0.5).
    velocity: first velocity (x, y), in pixels a frame.
    walls: ((low, high) of x, (low, high) of y) for the middle, or None for a
      shape that leaves the frame.
  """

  kind: int
  colour: int
  direction: int
  speed: int
  radius: float
  start: tuple[float, float]
  velocity: tuple[float, float]
  walls: tuple[tuple[float, float], tuple[float, float]] | None

  def positions(self, times: np.ndarray) -> np.ndarray:
    """Middle of the bounding box (n, 2) as (x, y) at `times` (n,) in frames."""
    free_T2 = np.asarray(self.start) + np.outer(times, self.velocity)
    if self.walls is None:
      return free_T2
    walls_22 = np.asarray(self.walls)
    return motion.reflect(free_T2, walls_22[:, 0], walls_22[:, 1])

  def legs(self, until: float) -> list[tuple[float, int]]:
    """Returns the straight legs of the motion before time `until`, in frames.

    Returns:
      (time at which the leg begins, index of its direction), the first at 0;
      every further leg begins with a bounce.
    """
    legs = [(0.0, self.direction)]
    if self.walls is None:
      return legs
    events = []
    for axis in range(2):
      low, high = self.walls[axis]
      events += [
        (time, axis)
        for time in motion.bounce_times(
          self.start[axis], self.velocity[axis], low, high, until
        )
      ]
    heading = list(self.velocity)
    for time, axis in sorted(events):
      heading[axis] = -heading[axis]
      direction = attributes.direction_of(*heading)
      if time - legs[-1][0] < 1e-9 and len(legs) > 1:  # Into a corner.
        legs.pop()
      legs.append((time, direction))
    return legs


@dataclasses.dataclass(frozen=True)
class Scene:
  """Everything that is drawn and sounded in a clip.

  Attributes:
    shapes: the first is the farther one.
    ground: index into attributes.GROUNDS_G3.
    waves: plane waves of the texture as (cycles a pixel in x, in y, phase);
      empty for a plain ground.
  """

  shapes: tuple[Shape, ...]
  ground: int
  waves: tuple[tuple[float, float, float], ...]

  def bounces(self, config: shapes_config.ShapesConfig) -> tuple[float, ...]:
    """Bounce times of all shapes within the clip, in seconds, rising."""
    times = [
      time / config.frame_rate
      for shape in self.shapes
      for time, _ in shape.legs(config.frames)[1:]
    ]
    return tuple(sorted(times))


def sample(config: shapes_config.ShapesConfig, split: str, index: int) -> Scene:
  """Draws the scene of one clip, independent of every other index.

  Args:
    config: content of clips.
    split: one of splits.SPLITS.
    index: position in the split, from 0.

  Returns:
    The scene.

  Raises:
    errors.DataError: the split does not exist.
  """
  rng = np.random.Generator(
    np.random.PCG64((config.seed, splits.number(split), index))
  )
  count = int(rng.integers(config.min_shapes, config.max_shapes + 1))
  bouncing = config.edges == 'bounce' or (
    config.edges == 'mixed' and rng.random() < 0.5
  )
  shapes: list[Shape] = []
  triples = splits.triples(split)
  while len(shapes) < count:
    triple = triples[rng.integers(len(triples))]
    if any(triple[1] == other.colour for other in shapes):
      continue  # Shapes are told apart by colour.
    size = 1.0 if count == 1 else _PAIR_SIZE
    shapes.append(_sample_shape(config, rng, triple, bouncing, size))
  textured = config.ground == 'textured' or (
    config.ground == 'mixed' and rng.random() < 0.5
  )
  return Scene(
    shapes=tuple(shapes),
    ground=int(rng.integers(len(attributes.GROUNDS_G3))),
    waves=_sample_waves(config, rng) if textured else (),
  )


def _sample_shape(
  config: shapes_config.ShapesConfig,
  rng: np.random.Generator,
  triple: tuple[int, int, int],
  bouncing: bool,
  size: float,
) -> Shape:
  """Draws speed, size and start for a triple."""
  kind, colour, direction = triple
  speed = int(rng.integers(len(attributes.SPEEDS)))
  radius = rng.uniform(config.min_radius, config.max_radius)
  radius *= config.scale * size
  velocity = attributes.HEADINGS_D2[direction] * config.speeds[speed]
  extent = attributes.HALF_EXTENTS_K2[kind] * radius
  sides = (config.width, config.height)
  walls = tuple(
    (float(extent[i]), float(sides[i] - extent[i])) for i in range(2)
  )
  meets = rng.random() < config.bounce_share
  moving = [axis for axis in range(2) if abs(velocity[axis]) > 1e-9]
  meeting_axis = moving[rng.integers(len(moving))] if meets else None
  start = [
    _sample_start(
      config, rng, walls[axis], velocity[axis], axis == meeting_axis
    )
    for axis in range(2)
  ]
  return Shape(
    kind=kind,
    colour=colour,
    direction=direction,
    speed=speed,
    radius=float(radius),
    start=(start[0], start[1]),
    velocity=(float(velocity[0]), float(velocity[1])),
    walls=(walls[0], walls[1]) if bouncing else None,
  )


def _sample_start(
  config: shapes_config.ShapesConfig,
  rng: np.random.Generator,
  wall: tuple[float, float],
  velocity: float,
  meets: bool,
) -> float:
  """Returns a start so that the wall is met at a suitable time, or never."""
  low, high = wall
  if meets:
    latest = config.frames - config.min_frames_after
    earliest = min(config.min_bounce_frame, latest)
    time = rng.uniform(earliest, latest)
    start = (high if velocity > 0 else low) - velocity * time
    if low <= start <= high:
      return float(start)
  else:
    # To the end of the last frame, so that the sound has no bounce either.
    way = velocity * config.frames
    # Not at the wall that it moves away from: that would look like a bounce.
    gap = _GAP * config.scale if velocity else 0.0
    clear_low = low - min(way, 0) + gap
    clear_high = high - max(way, 0) - gap
    if clear_low < clear_high:
      return float(rng.uniform(clear_low, clear_high))
  return float(rng.uniform(low, high))  # Too long a clip: bounces as it may.


def _sample_waves(
  config: shapes_config.ShapesConfig, rng: np.random.Generator
) -> tuple[tuple[float, float, float], ...]:
  """Two plane waves of 7 to 16 pixels of a 32-pixel frame."""
  waves = []
  for _ in range(2):
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    frequency = 1 / (rng.uniform(7, 16) * config.scale)
    waves.append(
      (
        float(frequency * np.cos(angle)),
        float(frequency * np.sin(angle)),
        float(phase),
      )
    )
  return tuple(waves)
