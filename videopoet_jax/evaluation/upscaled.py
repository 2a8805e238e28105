"""Metrics of upscaled clips, compared with the truth at that size."""

from collections.abc import Mapping
import dataclasses
import pathlib

import numpy as np
from PIL import Image

from videopoet_jax.evaluation import edges
from videopoet_jax.media import quality
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import oracle

ATTRIBUTES = ('kind', 'colour', 'direction', 'speed')
_BORDER = 2


@dataclasses.dataclass(frozen=True)
class Truth:
  """Clips at the target size.

  Attributes:
    video_BTHWC: uint8 frames.
    captions: one caption a clip, '' where there is none.
    labels: int (B,) by attribute; empty if clips are not shapes in motion.
    config: config of shapes in motion, None if clips are not.
  """

  video_BTHWC: np.ndarray
  captions: tuple[str, ...]
  labels: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  config: shapes_config.ShapesConfig | None = None


def metrics(video_BTHWC: np.ndarray, truth: Truth) -> dict[str, float]:
  """Scores clips.

  Args:
    video_BTHWC: uint8 frames of the truth's size.
    truth: the true clips.

  Returns:
    `edge_error` (see `edges.edge_error`) and `psnr` in dB, means over clips;
    for shapes in motion also the share of clips in which the oracle reads each
    attribute correctly, and `kept`: all of them, in a sound, steady clip.
  """
  found = {
    'edge_error': float(
      edges.edge_error(video_BTHWC, truth.video_BTHWC).mean()
    ),
    'psnr': float(quality.psnr(video_BTHWC, truth.video_BTHWC).mean()),
  }
  if truth.config is None:
    return found
  readings = oracle.read_videos(video_BTHWC, truth.config)
  number = len(readings)
  for name in ATTRIBUTES:
    read = np.array([getattr(reading, name) for reading in readings])
    found[name] = float(np.mean(read == truth.labels[name]))
  kept = [
    readings[i].shows(
      **{name: int(truth.labels[name][i]) for name in ATTRIBUTES}
    )
    for i in range(number)
  ]
  return {**found, 'kept': float(np.mean(kept))}


def write_comparison(
  path: pathlib.Path,
  columns: Mapping[str, np.ndarray],
  *,
  clips: int = 4,
  frame: int = 8,
  side: int = 256,
) -> None:
  """Writes a PNG with one row a clip and one column a method of upscaling.

  Args:
    path: file to write.
    columns: uint8 (B, T, H, W, 3) by name, in order; H and W may differ.
    clips: number of rows.
    frame: number of the frame that is shown.
    side: height and width of a picture in pixels; pixels are repeated.
  """
  rows = []
  for clip in range(clips):
    pictures = []
    for video_BTHWC in columns.values():
      video_THWC = video_BTHWC[clip]
      still = video_THWC[min(frame, len(video_THWC) - 1)]
      picture = Image.fromarray(np.ascontiguousarray(still))
      large = np.asarray(picture.resize((side, side), Image.Resampling.NEAREST))
      edge = ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0))
      pictures.append(np.pad(large, edge, constant_values=255))
    rows.append(np.concatenate(pictures, axis=1))
  Image.fromarray(np.concatenate(rows)).save(path, 'PNG', optimize=True)
