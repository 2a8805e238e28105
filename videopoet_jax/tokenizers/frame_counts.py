"""Clips whose number of frames a causal tokenizer does not hold.

A causal tokenizer holds 1 + temporal_stride * k frames. Another number is
refused, trimmed to the next lower one, or padded to the next higher one with
copies of the last frame; decoded video of a padded clip is cut back.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import specs

POLICIES = ('refuse', 'trim', 'pad')


@dataclasses.dataclass(frozen=True)
class FrameFit:
  """How the frames of clips are fitted to a tokenizer.

  Attributes:
    given: frames of the clips.
    used: frames that are encoded.
    stride: frames of a latent frame after the first.
  """

  given: int
  used: int
  stride: int

  @property
  def notice(self) -> str:
    """One line that says what is trimmed or padded; '' if nothing is."""
    held = f'the tokenizer holds 1 + {self.stride} k frames'
    if self.used < self.given:
      return (
        f'clips of {self.given} frames are trimmed to the first {self.used}:'
        f' {held}'
      )
    if self.used > self.given:
      return (
        f'clips of {self.given} frames are padded to {self.used} with copies of'
        f' the last: {held}'
      )
    return ''

  def apply(self, frames: np.ndarray, axis: int = 1) -> np.ndarray:
    """Trims or pads an array of `given` frames along an axis."""
    kept = np.minimum(np.arange(self.used), self.given - 1)
    return frames if self.used == self.given else np.take(frames, kept, axis)


def fit(
  spec: specs.VisualSpec, frames: int, policy: str = 'refuse'
) -> FrameFit:
  """Chooses how many frames of clips are encoded.

  Args:
    spec: grid of the tokenizer.
    frames: frames of the clips.
    policy: 'refuse', 'trim' or 'pad'.

  Raises:
    ConfigError: there is no such policy.
    LayoutError: the tokenizer does not hold this number and the policy is
      'refuse', or there is no frame.
  """
  errors.check_choice('frames', policy, POLICIES)
  stride = spec.temporal_stride
  if policy == 'refuse' or frames < 1:
    spec.latent_frames(frames)
    return FrameFit(frames, frames, stride)
  whole, rest = divmod(frames - 1, stride)
  whole += policy == 'pad' and rest > 0
  return FrameFit(frames, 1 + whole * stride, stride)


def cut_back(
  spec: specs.VisualSpec, video_BTHWC: np.ndarray, num_frames: int
) -> np.ndarray:
  """Returns the frames of a decoded video that were not padding.

  Args:
    spec: grid of the tokenizer.
    video_BTHWC: decoded video.
    num_frames: frames of the clips before they were padded.

  Raises:
    LayoutError: padding to `num_frames` would not have given this length.
  """
  decoded = video_BTHWC.shape[1]
  if num_frames < 1 or fit(spec, num_frames, 'pad').used != decoded:
    raise errors.LayoutError(
      f'{decoded} decoded frames are not a padded clip of {num_frames} frames; '
      'give the number of frames that the encoded clips had.'
    )
  return video_BTHWC[:, :num_frames]
