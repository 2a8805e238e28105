"""Draws a scene: anti-aliased frames, exact optical flow and depth."""

import dataclasses

import numpy as np

from videopoet_jax.shapes import attributes
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import scene as shapes_scene
from videopoet_jax.shapes import sound
from videopoet_jax.shapes import splits

GROUND_DEPTH = 0.9
SHAPE_DEPTHS = (0.5, 0.25)  # Of Scene.shapes: the first is the farther one.


def coverage(
  kind: int,
  centres_N2: np.ndarray,
  radii_N: np.ndarray,
  height: int,
  width: int,
) -> np.ndarray:
  """How much of each pixel a shape covers.

  Args:
    kind: index into attributes.KINDS.
    centres_N2: middles of the bounding boxes as (x, y), in pixels.
    radii_N: radii, in pixels.
    height: rows.
    width: columns.

  Returns:
    float32 (N, height, width) in [0, 1], exact to a few hundredths.
  """
  centres_N2 = np.asarray(centres_N2, np.float32)
  radii_N11 = np.asarray(radii_N, np.float32).reshape(-1, 1, 1)
  x_N1W = (np.arange(width, dtype=np.float32) + 0.5)[None, None]
  x_N1W = x_N1W - centres_N2[:, 0, None, None]
  y_NH1 = (np.arange(height, dtype=np.float32) + 0.5)[None, :, None]
  y_NH1 = y_NH1 - centres_N2[:, 1, None, None]
  half_x, half_y = attributes.HALF_EXTENTS_K2[kind].astype(np.float32)
  name = attributes.KINDS[kind]
  if name == 'circle':
    inside_NHW = radii_N11 - np.sqrt(x_N1W**2 + y_NH1**2) + np.float32(0.5)
    return np.clip(inside_NHW, 0, 1)
  if name == 'square':
    columns_N1W = _overlap(x_N1W, half_x * radii_N11)
    return columns_N1W * _overlap(y_NH1, half_y * radii_N11)
  # A triangle that points up: the base below and two equal sides.
  length = np.hypot(2 * half_y, half_x)
  outside_NHW = np.abs(x_N1W) * (2 * half_y / length) + (
    (-half_y * radii_N11 - y_NH1) * (half_x / length)
  )
  # outside is 0 on the sides; negative inside.
  sides_NHW = np.clip(np.float32(0.5) - outside_NHW, 0, 1)
  return sides_NHW * np.clip(half_y * radii_N11 - y_NH1 + 0.5, 0, 1)


def _overlap(offset: np.ndarray, half: np.ndarray) -> np.ndarray:
  """Length of the overlap of a pixel at `offset` with [-half, half]."""
  upper = np.minimum(offset + np.float32(0.5), half)
  return np.clip(upper - np.maximum(offset - np.float32(0.5), -half), 0, 1)


def ground(
  scene: shapes_scene.Scene, config: shapes_config.ShapesConfig
) -> np.ndarray:
  """Draws the ground without shapes, float32 (H, W, 3) in [0, 255]."""
  tone_3 = attributes.GROUNDS_G3[scene.ground]
  ground_HW3 = np.broadcast_to(tone_3, (config.height, config.width, 3))
  if not scene.waves:
    return ground_HW3
  x_W = np.arange(config.width, dtype=np.float32) + 0.5
  y_H = np.arange(config.height, dtype=np.float32) + 0.5
  pattern_HW = np.zeros((config.height, config.width), np.float32)
  for in_x, in_y, phase in scene.waves:
    angle_HW = np.add.outer(in_y * y_H, in_x * x_W).astype(np.float32)
    pattern_HW += np.sin(2 * np.float32(np.pi) * angle_HW + np.float32(phase))
  scale = np.float32(config.texture / len(scene.waves))
  return ground_HW3 + scale * pattern_HW[..., None]


def frames(
  scene: shapes_scene.Scene, config: shapes_config.ShapesConfig
) -> np.ndarray:
  """Draws the clip, uint8 (T, H, W, 3)."""
  return _compose(scene, config, _coverages(scene, config))


def _coverages(
  scene: shapes_scene.Scene, config: shapes_config.ShapesConfig
) -> list[np.ndarray]:
  """Coverage (T, H, W) of each shape."""
  times_T = np.arange(config.frames)
  return [
    coverage(
      shape.kind,
      shape.positions(times_T),
      np.full(config.frames, shape.radius),
      config.height,
      config.width,
    )
    for shape in scene.shapes
  ]


def _compose(
  scene: shapes_scene.Scene,
  config: shapes_config.ShapesConfig,
  coverages: list[np.ndarray],
) -> np.ndarray:
  video_THW3 = ground(scene, config)[None]
  for shape, cover_THW in zip(scene.shapes, coverages, strict=True):
    colour_3 = attributes.PALETTE_C3[shape.colour]
    video_THW3 = video_THW3 + cover_THW[..., None] * (colour_3 - video_THW3)
  return (video_THW3 + np.float32(0.5)).astype(np.uint8)


def _structure(
  scene: shapes_scene.Scene,
  config: shapes_config.ShapesConfig,
  coverages: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
  """Flow and depth of the surface that fills most of each pixel."""
  shape_THW = (config.frames, config.height, config.width)
  flow_THW2 = np.zeros((*shape_THW, 2), np.float16)
  depth_THW1 = np.full((*shape_THW, 1), GROUND_DEPTH, np.float16)
  times_T = np.arange(config.frames)
  for shape, cover_THW, depth in zip(
    scene.shapes, coverages, SHAPE_DEPTHS, strict=False
  ):
    seen_THW = cover_THW >= 0.5
    steps_T2 = shape.positions(times_T + 1) - shape.positions(times_T)
    steps_T112 = steps_T2.astype(np.float16)[:, None, None]
    np.copyto(flow_THW2, steps_T112, where=seen_THW[..., None])
    depth_THW1[seen_THW] = depth
  if config.frames > 1:
    flow_THW2[-1] = flow_THW2[-2]  # There is no next frame to flow to.
  return flow_THW2, depth_THW1


@dataclasses.dataclass(frozen=True)
class Clip:
  """A drawn scene.

  Attributes:
    scene: what was drawn.
    video_THW3: uint8.
    flow_THW2: float16, pixels a frame (x, y) from frame t to t + 1; the last
      frame repeats the one before.
    depth_THW1: float16 in [0, 1], larger is farther.
    audio_T: int16 (samples,).
  """

  scene: shapes_scene.Scene
  video_THW3: np.ndarray
  flow_THW2: np.ndarray
  depth_THW1: np.ndarray
  audio_T: np.ndarray


def clip(config: shapes_config.ShapesConfig, split: str, index: int) -> Clip:
  """Draws and sounds clip `index` of a split."""
  scene = shapes_scene.sample(config, split, index)
  coverages = _coverages(scene, config)
  flow_THW2, depth_THW1 = _structure(scene, config, coverages)
  return Clip(
    scene=scene,
    video_THW3=_compose(scene, config, coverages),
    flow_THW2=flow_THW2,
    depth_THW1=depth_THW1,
    audio_T=sound.waveform(scene, config),
  )


def videos(
  config: shapes_config.ShapesConfig,
  split: str = splits.TRAIN,
  start: int = 0,
  count: int = 1,
) -> np.ndarray:
  """Draws only the frames of `count` clips: uint8 (count, T, H, W, 3)."""
  return np.stack(
    [
      frames(shapes_scene.sample(config, split, index), config)
      for index in range(start, start + count)
    ]
  )
