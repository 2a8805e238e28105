"""Reads kind, colour, direction, speed and position back from pixels.

The oracle knows only the palette, the outlines and the laws of motion. In each
frame it separates the shape from the ground, lays the ideal outline of each
kind over it and measures the overlap (intersection over union); over the frames
it finds the motion, among all that the data set can hold, which the positions
follow best. A clip is only as good as its worst frame: one smeared frame makes
it invalid.

It reads clips of one shape, as long as at least three frames; for a single
image `read_images` gives kind, colour and position.
"""

import dataclasses

import numpy as np

from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import motion
from videopoet_jax.shapes import render

MIN_OVERLAP = 0.85
# Farthest mean colour from the palette, in sRGB levels: under half of the
# distance between any two colours of the palette.
_MAX_COLOUR_DISTANCE = 64.0
# Least distance from the ground that counts as a shape, in sRGB levels.
_MIN_CONTRAST = 60.0
# Deviation from the ideal motion, in pixels of a 32-pixel frame. The largest is
# the tolerance of positions in the scoreboard; the root mean square is less
# than
# 1.04, by which a shape at rest misses the nearest motion (slow, and folded in
# the middle), so that no shape at rest passes.
_MAX_RMS_DEVIATION = 0.95
MAX_DEVIATION = 2.0
# Steepness of the threshold on coverage: a steeper one forgives more blur and
# more noise.
_GAIN = 1.7
# Clips read at once; bounds memory and suits the cache.
_CHUNK = 16


@dataclasses.dataclass(frozen=True)
class Reading:
  """The oracle's reading of one clip.

  Attributes:
    kind: index into attributes.KINDS, the best fit.
    colour: index into attributes.COLOURS, the nearest.
    direction: index into attributes.DIRECTIONS of the first motion, the best
      fit; -1 where there are too few frames to tell.
    speed: index into attributes.SPEEDS, the best fit; -1 where there are too
      few frames to tell.
    radius: radius of the ideal outline, in pixels.
    positions_T2: middle of the shape's bounding box (x, y), in pixels.
    overlap_T: overlap with the ideal outline, 0 to 1.
    whole_T: whether a whole shape of this kind and colour is seen in the
      frame: it overlaps well and lies inside the frame.
    valid: whether every frame shows the shape: overlap above MIN_OVERLAP and
      the same colour throughout.
    steady: whether the positions follow `direction` and `speed` (with
      bounces, if the data set has them) throughout.
  """

  kind: int
  colour: int
  direction: int
  speed: int
  radius: float
  positions_T2: np.ndarray
  overlap_T: np.ndarray
  whole_T: np.ndarray
  valid: bool
  steady: bool

  def shows(
    self,
    kind: int | None = None,
    colour: int | None = None,
    direction: int | None = None,
    speed: int | None = None,
  ) -> bool:
    """Whether the clip is sound and matches; None leaves an attribute open.

    Steady motion is required if a direction or a speed is given.
    """
    asked = ((kind, self.kind), (colour, self.colour))
    moved = ((direction, self.direction), (speed, self.speed))
    moving = direction is not None or speed is not None
    return (
      self.valid
      and (self.steady or not moving)
      and all(want is None or want == is_ for want, is_ in asked + moved)
    )


def read_videos(
  videos_BTHW3: np.ndarray, config: shapes_config.ShapesConfig
) -> list[Reading]:
  """Reads clips of one shape.

  Args:
    videos_BTHW3: uint8 frames; T and the size of a frame may differ from
      `config`, whose radii, speeds and edges describe the motion.
    config: config that the clips should follow.

  Returns:
    One reading a clip.
  """
  config = dataclasses.replace(
    config, height=videos_BTHW3.shape[2], width=videos_BTHW3.shape[3]
  )
  readings: list[Reading] = []
  for begin in range(0, len(videos_BTHW3), _CHUNK):
    readings += _read_chunk(videos_BTHW3[begin : begin + _CHUNK], config)
  return readings


def read_images(
  images_BHW3: np.ndarray, config: shapes_config.ShapesConfig
) -> list[Reading]:
  """Reads images of one shape: `read_videos` of one-frame clips."""
  return read_videos(images_BHW3[:, None], config)


def _read_chunk(
  videos_BTHW3: np.ndarray, config: shapes_config.ShapesConfig
) -> list[Reading]:
  batch, length = videos_BTHW3.shape[:2]
  shape_BTHW, colour_BT3 = _separate(videos_BTHW3)
  distance_BTC = np.linalg.norm(
    colour_BT3[:, :, None] - attributes.PALETTE_C3, axis=-1
  )
  colour_B = np.argmin(np.median(distance_BTC, axis=1), axis=-1)
  nearest_BT = np.argmin(distance_BTC, axis=-1)
  coloured_BT = (nearest_BT == colour_B[:, None]) & (
    np.min(distance_BTC, axis=-1) < _MAX_COLOUR_DISTANCE
  )
  fits = [
    _fit_outline(kind, shape_BTHW, config)
    for kind in range(len(attributes.KINDS))
  ]
  overlap_KBT = np.stack([fit[2] for fit in fits])
  kind_B = np.argmax(overlap_KBT.mean(-1), axis=0)
  readings = []
  for clip in range(batch):
    kind = int(kind_B[clip])
    radius = float(fits[kind][0][clip])
    positions_T2 = fits[kind][1][clip]
    overlap_T = overlap_KBT[kind, clip]
    good_T = (overlap_T > MIN_OVERLAP) & coloured_BT[clip]
    direction, speed, steady = -1, -1, False
    if length >= 3:
      direction, speed, steady = _fit_motion(positions_T2, kind, radius, config)
    readings.append(
      Reading(
        kind=kind,
        colour=int(colour_B[clip]),
        direction=direction,
        speed=speed,
        radius=radius,
        positions_T2=positions_T2,
        overlap_T=overlap_T,
        whole_T=good_T & inside(positions_T2, kind, radius, config),
        valid=bool(good_T.all()),
        steady=steady,
      )
    )
  return readings


def inside(
  positions_T2: np.ndarray,
  kind: int,
  radius: float,
  config: shapes_config.ShapesConfig,
) -> np.ndarray:
  """Whether a shape lies in the frame, to half a pixel: bool (T,)."""
  extent_2 = attributes.HALF_EXTENTS_K2[kind] * radius
  sides_2 = np.array([config.width, config.height])
  slack = 0.5 * config.scale
  return np.all(
    (positions_T2 >= extent_2 - slack)
    & (positions_T2 <= sides_2 - extent_2 + slack),
    axis=-1,
  )


def _harden(cover: np.ndarray) -> np.ndarray:
  """Steepens coverage around one half, which drops faint noise and blur."""
  return np.clip((cover - np.float32(0.5)) * _GAIN + np.float32(0.5), 0, 1)


def _separate(videos_BTHW3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Separates the shape from the ground.

  Returns:
    Hardened coverage (B, T, H, W) of everything that is not ground, and the
    colour (B, T, 3) of the pixels that differ most from it.
  """
  batch, length, height, width, _ = videos_BTHW3.shape
  pixels_NP3 = videos_BTHW3.reshape(-1, height * width, 3)
  # A shape covers far less than half of the frame.
  ground_N13 = np.median(pixels_NP3, axis=1, keepdims=True).astype(np.float32)
  offset_NP3 = pixels_NP3 - ground_N13
  square_NP = np.einsum('npc,npc->np', offset_NP3, offset_NP3)
  weight_NP = square_NP**2
  weight_NP /= weight_NP.sum(1, keepdims=True) + 1e-6
  mean_N3 = np.einsum('np,npc->nc', weight_NP, offset_NP3)
  contrast_N1 = np.linalg.norm(mean_N3, axis=-1, keepdims=True)
  contrast_N1 = np.maximum(contrast_N1, _MIN_CONTRAST)
  shape_NP = _harden(np.sqrt(square_NP) / contrast_N1)
  return (
    shape_NP.reshape(batch, length, height, width),
    (mean_N3 + ground_N13[:, 0]).reshape(batch, length, 3),
  )


def _fit_outline(
  kind: int, shape_BTHW: np.ndarray, config: shapes_config.ShapesConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Lays the outline of one kind over each frame.

  The radius is one for the whole clip, from the area; the position of each
  frame brings the centres of mass together.

  Returns:
    radius (B,), positions (B, T, 2), overlap (B, T).
  """
  batch, length, height, width = shape_BTHW.shape
  # While a shape leaves the frame, it shows less than its area.
  share = 0.5 if config.edges == 'bounce' else 0.8
  area_B = np.quantile(shape_BTHW.sum((2, 3)), share, axis=1)
  radius_B = np.clip(
    np.sqrt(area_B / attributes.AREAS_K[kind]),
    0.92 * config.min_radius * config.scale,
    1.08 * config.max_radius * config.scale,
  )
  radius_N = np.repeat(radius_B, length)
  shape_NHW = shape_BTHW.reshape(-1, height, width)
  mass_N2 = _centre_of_mass(shape_NHW)
  positions_N2 = mass_N2.copy()
  positions_N2[:, 1] -= (
    attributes.MASS_BELOW_MIDDLE_K[kind]
    * attributes.HALF_EXTENTS_K2[kind, 1]
    * radius_N
  )
  # A whole shape is found directly; one cut by the frame's edge iteratively.
  steps, rate = (2, 1.0) if config.edges == 'bounce' else (8, 1.5)
  for _ in range(steps):
    ideal_NHW = _harden(
      render.coverage(kind, positions_N2, radius_N, height, width)
    )
    overlap_N = np.minimum(shape_NHW, ideal_NHW).sum((1, 2)) / (
      np.maximum(shape_NHW, ideal_NHW).sum((1, 2)) + 1e-6
    )
    last_N2 = positions_N2
    positions_N2 = last_N2 + rate * (mass_N2 - _centre_of_mass(ideal_NHW))
  return (
    radius_B,
    last_N2.reshape(batch, length, 2),
    overlap_N.reshape(batch, length),
  )


def _centre_of_mass(shape_NHW: np.ndarray) -> np.ndarray:
  """Centre of mass (N, 2) as (x, y); the middle where there is no mass."""
  _, height, width = shape_NHW.shape
  columns_NW, rows_NH = shape_NHW.sum(1), shape_NHW.sum(2)
  mass_N = columns_NW.sum(1)
  x_N = columns_NW @ (np.arange(width, dtype=np.float32) + 0.5)
  y_N = rows_NH @ (np.arange(height, dtype=np.float32) + 0.5)
  middle_2 = np.array([width / 2, height / 2])
  return np.where(
    mass_N[:, None] > 0.5,
    np.stack([x_N, y_N], -1) / np.maximum(mass_N, 0.5)[:, None],
    middle_2,
  )


def _fit_motion(
  positions_T2: np.ndarray,
  kind: int,
  radius: float,
  config: shapes_config.ShapesConfig,
) -> tuple[int, int, bool]:
  """Finds the direction and the speed that the positions follow best.

  Returns:
    direction, speed, and whether they are followed within the tolerance.
  """
  times_T = np.arange(len(positions_T2))
  velocities_DS2 = (
    attributes.HEADINGS_D2[:, None] * np.array(config.speeds)[:, None]
  )
  way_DST2 = velocities_DS2[:, :, None] * times_T[:, None]
  extent_2 = attributes.HALF_EXTENTS_K2[kind] * radius
  low_2, high_2 = extent_2, np.array([config.width, config.height]) - extent_2
  deviations, handicaps = [], []
  if config.edges != 'leave':
    start_DS12 = (positions_T2 - way_DST2)[:, :, :3].mean(2, keepdims=True)
    for _ in range(3):
      # A start beyond a wall is the mirror image of the opposite direction.
      start_DS12 = np.clip(start_DS12, low_2 + 0.01, high_2 - 0.01)
      free_DST2 = start_DS12 + way_DST2
      error_DST2 = positions_T2 - motion.reflect(free_DST2, low_2, high_2)
      flips_DST2 = np.floor((free_DST2 - low_2) / (high_2 - low_2)) % 2
      sign_DST2 = 1 - 2 * flips_DST2
      start_DS12 = start_DS12 + (sign_DST2 * error_DST2).mean(2, keepdims=True)
    deviations.append(error_DST2)
    # Moving away from a wall or bouncing off it in the first instant look the
    # same. The plainer reading wins.
    first_DS2 = flips_DST2[:, :, min(1, len(times_T) - 1)]
    handicaps.append(0.1 * config.scale * np.any(first_DS2 != 0, axis=-1))
  if config.edges != 'bounce':
    error_DST2 = positions_T2 - way_DST2
    deviations.append(error_DST2 - error_DST2.mean(2, keepdims=True))
    handicaps.append(np.zeros(error_DST2.shape[:2]))
  distance_MDST = np.linalg.norm(np.stack(deviations), axis=-1)
  rms_MDS = np.sqrt((distance_MDST**2).mean(-1))
  best = np.unravel_index(
    np.argmin(rms_MDS + np.stack(handicaps)), rms_MDS.shape
  )
  steady = (
    rms_MDS[best] < _MAX_RMS_DEVIATION * config.scale
    and distance_MDST[best].max() < MAX_DEVIATION * config.scale
  )
  return int(best[1]), int(best[2]), bool(steady)
