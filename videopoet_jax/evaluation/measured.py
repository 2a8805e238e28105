"""Selects and resizes the frames of clips that are measured."""

import numpy as np
from PIL import Image

from videopoet_jax.core import errors
from videopoet_jax.evaluation import protocol as protocol_lib


def generated(
  video_BTHWC: np.ndarray, task: protocol_lib.EvaluationTask
) -> np.ndarray:
  """Returns the measured part of generated clips, uint8 video_BTHWC."""
  return resize(_cut(video_BTHWC, task, 'generated'), task)


def real(
  video_BTHWC: np.ndarray, task: protocol_lib.EvaluationTask
) -> np.ndarray:
  """Returns the measured part of real clips, uint8 video_BTHWC."""
  return resize(_cut(video_BTHWC, task, 'real'), task)


def _cut(
  video_BTHWC: np.ndarray,
  task: protocol_lib.EvaluationTask,
  what: str,
) -> np.ndarray:
  there, first = video_BTHWC.shape[1], task.first_frame
  frames = task.frames or there - first
  if frames < 1 or first + frames > there:
    raise errors.DataError(
      f'{task.name}: the protocol measures {task.frames or "all"} frames from '
      f'frame {first} of {what} clips, which have {there}; give longer ones '
      '(`videopoet prepare --frames`).'
    )
  return video_BTHWC[:, first : first + frames]


def resize(
  video_BTHWC: np.ndarray, task: protocol_lib.EvaluationTask
) -> np.ndarray:
  """Resizes frames to the protocol's size.

  'bicubic' is Pillow's (a = -0.5, antialiased when it shrinks), on uint8
  pixels, frame by frame.
  """
  if not task.size or tuple(video_BTHWC.shape[2:4]) == task.size:
    return video_BTHWC
  height, width = task.size
  frames = video_BTHWC.reshape(-1, *video_BTHWC.shape[2:])
  resized = np.stack(
    [
      np.asarray(
        Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
      )
      for frame in frames
    ]
  )
  return resized.reshape(*video_BTHWC.shape[:2], height, width, 3)
