"""Whether a sound and a video that were generated together agree."""

import numpy as np

from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import oracle
from videopoet_jax.shapes import oracle_sound
from videopoet_jax.shapes import scene as shapes_scene

# A video shows a bounce to within a frame; the tolerance of sound is added.
CLICK_SECONDS = 0.05
# A shape that grazes the edge at the very end may or may not bounce, in frames.
_OPEN_END = 2.0


def path_of(
  reading: oracle.Reading, config: shapes_config.ShapesConfig
) -> shapes_scene.Shape:
  """Returns the exact motion that the positions read in a clip follow.

  Args:
    reading: reading of a steady clip.
    config: size of a frame and speeds.

  Returns:
    A shape whose `positions` lie closest to those read, and whose `legs` give
    the times of its bounces.
  """
  velocity_2 = (
    attributes.HEADINGS_D2[reading.direction] * config.speeds[reading.speed]
  )
  extent_2 = attributes.HALF_EXTENTS_K2[reading.kind] * reading.radius
  walls = tuple(
    (float(extent), float(side - extent))
    for extent, side in zip(extent_2, (config.width, config.height))
  )
  times_T = np.arange(len(reading.positions_T2))

  def shape(start_2: np.ndarray) -> shapes_scene.Shape:
    return shapes_scene.Shape(
      kind=reading.kind,
      colour=reading.colour,
      direction=reading.direction,
      speed=reading.speed,
      radius=reading.radius,
      start=(float(start_2[0]), float(start_2[1])),
      velocity=(float(velocity_2[0]), float(velocity_2[1])),
      walls=(walls[0], walls[1]),
    )

  early_T = times_T[:3]
  start_2 = (reading.positions_T2[:3] - np.outer(early_T, velocity_2)).mean(0)
  for _ in range(4):
    fitted = shape(start_2)
    path_T2 = fitted.positions(times_T)
    # +1 where the path still runs as it began, -1 after a bounce on the axis.
    ahead_T2 = fitted.positions(times_T + 1e-3) - path_T2
    sign_T2 = np.where(ahead_T2 * velocity_2 >= 0, 1.0, -1.0)
    error_T2 = reading.positions_T2 - path_T2
    start_2 = start_2 + (sign_T2 * error_T2).mean(0)
  return shape(start_2)


def sound_fits_video(
  heard: oracle_sound.SoundReading,
  seen: oracle.Reading,
  config: shapes_config.ShapesConfig,
) -> bool:
  """Whether a sound has the pitch, glides and clicks of the motion seen.

  Args:
    heard: reading of the sound.
    seen: reading of the video; it must be steady.
    config: config of shapes in motion.

  Returns:
    True if the kind is the same, every bounce seen has a click within a frame
    and 50 ms and there are no other clicks, and the glide of each leg between
    bounces matches its direction.
  """
  if not (heard.valid and heard.kind == seen.kind):
    return False
  if heard.direction != seen.direction:
    return False
  length = len(seen.positions_T2)
  # The walls are read to a fraction of a pixel, so a bounce in the last
  # frames may be seen or not.
  legs = path_of(seen, config).legs(length)
  tolerance = 1 / config.frame_rate + CLICK_SECONDS
  times = [time / config.frame_rate for time, _ in legs[1:]]
  sure = [t for t in times if t < (length - _OPEN_END) / config.frame_rate]

  def near(time: float, others: list[float] | tuple[float, ...]) -> bool:
    return any(abs(time - other) <= tolerance for other in others)

  glides = [direction for _, direction in legs]
  return (
    all(near(time, heard.clicks) for time in sure)
    and all(near(click, times) for click in heard.clicks)
    # Legs too short to hear are -1, and one in the open end may be missing.
    and all(a in (-1, b) for a, b in zip(heard.directions, glides))
  )
