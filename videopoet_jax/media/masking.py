"""Pixels of conditions that are computed: hidden regions and structure.

Training and generation both tokenize these pixels, so they are made in one
place. The condition of inpainting and outpainting is a clip whose hidden pixels
are grey (the COMMIT encoding of VideoPoet, section 3.2, tokenizes masked
pixels); that of stylization is optical flow and depth as one three-channel
clip.
"""

import numpy as np

from videopoet_jax.core import errors

HIDDEN_PIXEL = 128  # mid grey of uint8 frames.
# Flow of this share of a clip's height a frame, either way, reaches the ends of
# the uint8 scale: 16 pixels of 128 (docs/real_video.md says why).
FLOW_SHARE = 1 / 8
# Smaller clips are of shapes in motion, which move by a pixel of 32 at most.
_SMALL_HEIGHT = 64
_SMALL_FLOW_SHARE = 1 / 32


def inpainting_mask(
  frames: int, height: int, width: int, seed: int | None = None
) -> np.ndarray:
  """A hidden box of half the height and half the width, the same every frame.

  Args:
    frames: frames of the clip.
    height: pixels.
    width: pixels.
    seed: moves the box to a random place within the frame; None leaves it in
      the centre.

  Returns:
    bool (frames, height, width, 1), True where pixels are hidden.
  """
  box_height, box_width = height // 2, width // 2
  top, left = (height - box_height) // 2, (width - box_width) // 2
  if seed is not None:
    generator = np.random.default_rng(seed)
    top = int(generator.integers(0, height - box_height + 1))
    left = int(generator.integers(0, width - box_width + 1))
  mask = np.zeros((frames, height, width, 1), bool)
  mask[:, top : top + box_height, left : left + box_width] = True
  return mask


def outpainting_mask(frames: int, height: int, width: int) -> np.ndarray:
  """Hides both sides of a clip and keeps the central half of its width.

  Args:
    frames: frames of the clip.
    height: pixels.
    width: pixels.

  Returns:
    bool (frames, height, width, 1), True where pixels are hidden.
  """
  kept = width // 2
  left = (width - kept) // 2
  mask = np.ones((frames, height, width, 1), bool)
  mask[:, :, left : left + kept] = False
  return mask


def hide(video_THWC: np.ndarray, mask_THW1: np.ndarray) -> np.ndarray:
  """Paints the hidden pixels grey.

  Args:
    video_THWC: uint8 (frames, height, width, 3).
    mask_THW1: bool (frames, height, width, 1), True where hidden.

  Returns:
    uint8, the shape of `video_THWC`.
  """
  return np.where(mask_THW1, np.uint8(HIDDEN_PIXEL), video_THWC)


def flow_range(height: int) -> float:
  """Flow, in pixels a frame, that reaches the ends of the uint8 scale.

  Args:
    height: height of the clip in pixels.
  """
  share = FLOW_SHARE if height >= _SMALL_HEIGHT else _SMALL_FLOW_SHARE
  return height * share


def structure_from(flow_THW2: np.ndarray, depth_THW1: np.ndarray) -> np.ndarray:
  """Flow and depth as the three channels that the visual tokenizer takes.

  Flow is divided by `flow_range`, clipped to [-1, 1] and mapped to 0..255, so
  that no motion is mid grey; depth is mapped from [0, 1] to 0..255. VideoPoet
  (section 3.2) also normalises and concatenates; its range is not stated.

  Args:
    flow_THW2: float (frames, height, width, 2), pixels a frame along x and y.
    depth_THW1: float (frames, height, width, 1) in [0, 1].

  Returns:
    uint8 (frames, height, width, 3): flow x, flow y, depth.

  Raises:
    DataError: the shapes do not match.
  """
  if (
    flow_THW2.shape[:-1] != depth_THW1.shape[:-1]
    or flow_THW2.shape[-1] != 2
    or depth_THW1.shape[-1] != 1
  ):
    raise errors.DataError(
      f'flow of shape {flow_THW2.shape} and depth of shape {depth_THW1.shape} '
      'do not make structure; expected (frames, height, width, 2) and '
      '(frames, height, width, 1).'
    )
  reach = flow_range(flow_THW2.shape[-3])
  flow = np.clip(np.asarray(flow_THW2, np.float32) / reach, -1.0, 1.0)
  depth = np.clip(np.asarray(depth_THW1, np.float32), 0.0, 1.0) * 2.0 - 1.0
  channels = np.concatenate([flow, depth], axis=-1)
  # Half up rather than half even, so that zero becomes HIDDEN_PIXEL.
  return np.floor(channels * 127.5 + 128.0).clip(0, 255).astype(np.uint8)
