"""The clips of a scoreboard: conditions and truth together."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from videopoet_jax.media import masking
from videopoet_jax.shapes import caption as shapes_caption
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import render
from videopoet_jax.shapes import scene as shapes_scene
from videopoet_jax.shapes import splits


@dataclasses.dataclass(frozen=True)
class Clips:
  """Clips of one shape each, with everything that conditions are made from.

  Attributes:
    config: config of shapes in motion.
    scenes: scene of each clip.
    captions: each clip's caption, its motion included.
    video_BTHWC: uint8 frames.
    audio_BT: int16 samples.
    structure_BTHWC: uint8, flow and depth as three channels.
    holes: hidden pixels of 'inpainting' and 'outpainting', bool (T, H, W, 1);
      the same for every clip.
  """

  config: shapes_config.ShapesConfig
  scenes: tuple[shapes_scene.Scene, ...]
  captions: tuple[str, ...]
  video_BTHWC: np.ndarray
  audio_BT: np.ndarray
  structure_BTHWC: np.ndarray
  holes: dict[str, np.ndarray]

  def __len__(self) -> int:
    return len(self.scenes)

  @property
  def shapes(self) -> tuple[shapes_scene.Shape, ...]:
    """The one shape of each clip."""
    return tuple(scene.shapes[0] for scene in self.scenes)

  def masked_BTHWC(self, task: str) -> np.ndarray:
    """The condition of 'inpainting' or 'outpainting', uint8 frames."""
    return masking.hide(self.video_BTHWC, self.holes[task])

  def take(self, indices: np.ndarray) -> 'Clips':
    """These clips only, in this order."""
    return dataclasses.replace(
      self,
      scenes=tuple(self.scenes[i] for i in indices),
      captions=tuple(self.captions[i] for i in indices),
      video_BTHWC=self.video_BTHWC[indices],
      audio_BT=self.audio_BT[indices],
      structure_BTHWC=self.structure_BTHWC[indices],
    )


def caption_of(scene: shapes_scene.Scene) -> str:
  """The caption that the data set gives a scene."""
  return shapes_caption.write(
    [
      shapes_caption.Statement(s.kind, s.colour, s.direction, s.speed)
      for s in scene.shapes
    ]
  )


def draw(
  config: shapes_config.ShapesConfig,
  count: int,
  split: str = splits.TEST_HELD_OUT,
) -> Clips:
  """Draws the first clips of a split, the same as in the data set on disk.

  Args:
    config: config of shapes in motion; one shape a clip.
    count: how many clips.
    split: one of `splits.SPLITS`.

  Returns:
    The clips.
  """
  return draw_at(config, range(count), split)


def draw_at(
  config: shapes_config.ShapesConfig,
  indices: Sequence[int] | np.ndarray,
  split: str = splits.TEST_HELD_OUT,
) -> Clips:
  """Draws any clips of a split, in the order of the given indices."""
  clips = [render.clip(config, split, int(index)) for index in indices]
  size = (config.frames, config.height, config.width)
  return Clips(
    config=config,
    scenes=tuple(clip.scene for clip in clips),
    captions=tuple(caption_of(clip.scene) for clip in clips),
    video_BTHWC=np.stack([clip.video_THW3 for clip in clips]),
    audio_BT=np.stack([clip.audio_T for clip in clips]),
    structure_BTHWC=np.stack(
      [masking.structure_from(c.flow_THW2, c.depth_THW1) for c in clips]
    ),
    holes={
      'inpainting': masking.inpainting_mask(*size),
      'outpainting': masking.outpainting_mask(*size),
    },
  )
