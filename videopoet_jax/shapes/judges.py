"""The measure of every task: which generated samples are right.

`docs/scoreboard.md` states each in words. The oracle reads the generated
samples once; the judgement then compares readings with what the condition asks
for, so that the same code scores a model, a guess and a copy of the condition.
"""

from collections.abc import Callable
import dataclasses

import numpy as np

from videopoet_jax.media import quality
from videopoet_jax.shapes import agreement
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import held_out
from videopoet_jax.shapes import oracle
from videopoet_jax.shapes import oracle_sound

POSITION_PIXELS = oracle.MAX_DEVIATION  # In pixels of a 32-pixel frame.
CLICK_SECONDS = 0.05
PAINTING_GAIN_DB = 8.0


@dataclasses.dataclass(frozen=True)
class Outputs:
  """Generated samples for a set of clips, in the clips' order.

  Attributes:
    video_BTHWC: uint8 frames of the whole clip, the condition's part
      included; one frame for images; None where there is no video.
    audio_BT: int16 samples of the whole clip, the condition's part included;
      None where there is no sound.
  """

  video_BTHWC: np.ndarray | None = None
  audio_BT: np.ndarray | None = None

  def __len__(self) -> int:
    for array in (self.video_BTHWC, self.audio_BT):
      if array is not None:
        return len(array)
    return 0

  def take(self, index: int) -> 'Outputs':
    """Returns one sample, a batch of one."""

    def row(array: np.ndarray | None) -> np.ndarray | None:
      return None if array is None else array[index : index + 1]

    return Outputs(row(self.video_BTHWC), row(self.audio_BT))


@dataclasses.dataclass(frozen=True)
class Readings:
  """Outputs and the oracle's readings of them.

  Attributes:
    outputs: outputs that were read.
    seen: one reading a video; empty without videos.
    heard: one reading a sound; empty without sounds.
  """

  outputs: Outputs
  seen: tuple[oracle.Reading, ...] = ()
  heard: tuple[oracle_sound.SoundReading, ...] = ()

  def rotated(self, by: int) -> 'Readings':
    """Shifts the readings to other clips: clip i gets reading i + by."""

    def roll(array: np.ndarray | None) -> np.ndarray | None:
      return None if array is None else np.roll(array, -by, axis=0)

    return Readings(
      Outputs(roll(self.outputs.video_BTHWC), roll(self.outputs.audio_BT)),
      self.seen[by:] + self.seen[:by],
      self.heard[by:] + self.heard[:by],
    )


def truth_of(task: str, clips: held_out.Clips) -> Outputs:
  """Outputs of a perfect model, of the kinds that the task generates."""
  video_BTHWC = audio_BT = None
  if task != 'video_to_audio':
    video_BTHWC = clips.video_BTHWC
  if task == 'text_to_image':
    video_BTHWC = clips.video_BTHWC[:, :1]
  if task in ('video_to_audio', 'audio_video_continuation'):
    audio_BT = clips.audio_BT
  return Outputs(video_BTHWC, audio_BT)


def read(outputs: Outputs, config: shapes_config.ShapesConfig) -> Readings:
  """Reads videos, or images, and sounds with the oracle."""
  seen: list[oracle.Reading] = []
  heard: list[oracle_sound.SoundReading] = []
  if outputs.video_BTHWC is not None:
    seen = oracle.read_videos(outputs.video_BTHWC, config)
  if outputs.audio_BT is not None:
    heard = oracle_sound.read_sounds(outputs.audio_BT, config)
  return Readings(outputs, tuple(seen), tuple(heard))


def judge(task: str, readings: Readings, clips: held_out.Clips) -> np.ndarray:
  """Which samples are right.

  Args:
    task: one of `TASKS`.
    readings: readings of the outputs, in the order of the clips.
    clips: conditions and truth; as many as there are readings.

  Returns:
    bool (B,).
  """
  return np.array(
    [_JUDGES[task](readings, clips, index) for index in range(len(clips))],
    bool,
  )


def _text_to_video(r: Readings, clips: held_out.Clips, i: int) -> bool:
  shape = clips.shapes[i]
  return r.seen[i].shows(shape.kind, shape.colour, shape.direction, shape.speed)


def _text_to_image(r: Readings, clips: held_out.Clips, i: int) -> bool:
  return r.seen[i].shows(clips.shapes[i].kind, clips.shapes[i].colour)


def _unconditional(r: Readings, clips: held_out.Clips, i: int) -> bool:
  del clips
  return r.seen[i].valid and r.seen[i].steady


def _future_prediction(r: Readings, clips: held_out.Clips, i: int) -> bool:
  shape, seen = clips.shapes[i], r.seen[i]
  if not seen.shows(shape.kind, shape.colour):
    return False
  last = clips.config.frames - 1
  truth_12 = shape.positions(np.array([last]))
  if not oracle.inside(truth_12, shape.kind, shape.radius, clips.config)[0]:
    return True
  return bool(_distance_T(seen.positions_T2[-1:], truth_12, clips)[0] <= 1)


def _distance_T(
  positions_T2: np.ndarray, truth_T2: np.ndarray, clips: held_out.Clips
) -> np.ndarray:
  """Distances, as shares of the tolerance."""
  tolerated = POSITION_PIXELS * clips.config.scale
  return np.linalg.norm(positions_T2 - truth_T2, axis=-1) / tolerated


def _image_to_video(r: Readings, clips: held_out.Clips, i: int) -> bool:
  shape = clips.shapes[i]
  return r.seen[i].shows(shape.kind, shape.colour, shape.direction)


def _painting(task: str) -> Callable[[Readings, held_out.Clips, int], bool]:
  def right(r: Readings, clips: held_out.Clips, i: int) -> bool:
    shape = clips.shapes[i]
    if not r.seen[i].shows(shape.kind, shape.colour, shape.direction):
      return False
    video_BTHWC = r.outputs.video_BTHWC
    if video_BTHWC is None:
      return False
    hole = clips.holes[task]
    truth = clips.video_BTHWC[i]
    filled = mean_fill(truth, hole)
    gain = hole_psnr(video_BTHWC[i], truth, hole) - hole_psnr(
      filled, truth, hole
    )
    return gain >= PAINTING_GAIN_DB

  return right


def hole_psnr(
  video_THWC: np.ndarray, truth_THWC: np.ndarray, hole_THW1: np.ndarray
) -> float:
  """PSNR in dB over the hidden pixels only."""
  error = video_THWC.astype(np.float32) - truth_THWC
  square = np.mean(error**2, axis=-1)[hole_THW1[..., 0]].mean()
  return float(quality.decibels(square))


def mean_fill(video_THWC: np.ndarray, hole_THW1: np.ndarray) -> np.ndarray:
  """Fills the hole of each frame with the mean colour of its seen pixels.

  Args:
    video_THWC: uint8 frames.
    hole_THW1: bool, True where pixels are hidden.

  Returns:
    float32 frames, equal to the clip outside of the hole.
  """
  filled = video_THWC.astype(np.float32)
  for frame, hole in zip(filled, hole_THW1[..., 0]):
    frame[hole] = frame[~hole].mean(axis=0)
  return filled


def _stylization(r: Readings, clips: held_out.Clips, i: int) -> bool:
  shape, seen = clips.shapes[i], r.seen[i]
  if not seen.shows(shape.kind, shape.colour, shape.direction, shape.speed):
    return False
  truth_T2 = shape.positions(np.arange(clips.config.frames))
  return bool((_distance_T(seen.positions_T2, truth_T2, clips) <= 1).all())


def _audio_to_video(r: Readings, clips: held_out.Clips, i: int) -> bool:
  shape = clips.shapes[i]
  return r.seen[i].shows(kind=shape.kind, direction=shape.direction)


def _video_to_audio(r: Readings, clips: held_out.Clips, i: int) -> bool:
  shape, heard, config = clips.shapes[i], r.heard[i], clips.config
  legs = shape.legs(config.frames)
  times = tuple(time / config.frame_rate for time, _ in legs[1:])
  directions = tuple(direction for _, direction in legs)
  return (
    heard.valid
    and heard.kind == shape.kind
    and heard.directions == directions
    and heard.clicks_match(times, CLICK_SECONDS)
  )


def _continuation(r: Readings, clips: held_out.Clips, i: int) -> bool:
  shape, seen = clips.shapes[i], r.seen[i]
  return seen.shows(
    shape.kind, shape.colour, shape.direction
  ) and agreement.sound_fits_video(r.heard[i], seen, clips.config)


_JUDGES = {
  'unconditional': _unconditional,
  'text_to_video': _text_to_video,
  'text_to_image': _text_to_image,
  'future_prediction': _future_prediction,
  'image_to_video': _image_to_video,
  'inpainting': _painting('inpainting'),
  'outpainting': _painting('outpainting'),
  'stylization': _stylization,
  'audio_to_video': _audio_to_video,
  'video_to_audio': _video_to_audio,
  'audio_video_continuation': _continuation,
}
TASKS = tuple(_JUDGES)
