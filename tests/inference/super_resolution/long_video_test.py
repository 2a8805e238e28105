"""Long super-resolution: each piece continues exactly what stays before it."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from videopoet_jax.core import specs
from videopoet_jax.core import upscaling
from videopoet_jax.inference.super_resolution import cascade as cascade_lib
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import long_video
from videopoet_jax.inference.super_resolution import upscaler


@dataclasses.dataclass(frozen=True)
class _Described:
  """Stands for a checkpoint's description."""

  units: tuple[upscaling.Upscaling, ...]
  fingerprints: Any = dataclasses.field(default_factory=dict)

  def upscalings(self):
    return self.units


class _Labelled:
  """An upscaler whose frames say which piece and frame made them.

  A frame's red is the piece's number, its green the frame of the video, its
  blue the number of known frames that the piece was told. Ids are one number a
  latent frame: the last frame of it, by all three.
  """

  scale = 2
  name = 'labelled'

  def __init__(self, frames: int, stride: int = 4):
    self.spec = specs.VisualSpec(64, 8, stride)
    self.described = _Described((upscaling.Upscaling(frames, 32, 32),))
    self.calls: list[tuple[int, np.ndarray, Any]] = []

  def check_encodes(self):
    pass

  check_decodes = check_encodes

  def grid(self, frames, height, width):
    return self.spec.latent_frames(frames), height // 4, width // 4

  def encode_high(self, video_BTHWC):
    """Ids that hold every pixel of the frames they are of, hashed."""
    latents = self.spec.latent_frames(video_BTHWC.shape[1])
    ids = np.zeros((len(video_BTHWC), latents), np.int64)
    for index in range(latents):
      first = 0 if index == 0 else self.spec.frames(index)
      part = video_BTHWC[:, first : self.spec.frames(index + 1), 0, 0]
      ids[:, index] = [hash(row.tobytes()) % 10**6 for row in part]
    return np.broadcast_to(ids[:, :, None, None], (*ids.shape, 4, 4)).astype(
      np.int32
    )

  def upscale(self, low, text=None, *, given=None, path=(), **_):
    index = len(self.calls)
    assert path[-1] == index
    self.calls.append((index, low, given))
    video = np.repeat(np.repeat(low, 2, axis=2), 2, axis=3).copy()
    video[..., 0] = index
    return upscaler.Upscaled(np.zeros(0), video)


def _clip(frames: int) -> np.ndarray:
  video = np.zeros((1, frames, 16, 16, 3), np.uint8)
  video[..., 1] = np.arange(frames)[None, :, None, None]
  return video


@pytest.mark.parametrize('stride', (1, 2, 4))
@pytest.mark.parametrize('latents', (1, 2, 3, 4, 5, 11))
@pytest.mark.parametrize('by_cascade', (False, True))
def test_every_piece_is_told_all_frames_that_stay(stride, latents, by_cascade):
  piece = 1 + (latents - 1) * stride
  longest = 3 * piece + 10
  # A picture is no piece of a video.
  for frames in (1,) if latents == 1 else range(piece, longest):
    stage = _Labelled(piece, stride)
    video = _clip(frames)
    if by_cascade:
      cascade = cascade_lib.Cascade((stage,))
      made = cascade.run_long(video, configs=(config_lib.UpscaleConfig(),))
    else:
      made = long_video.upscale(stage, video)
    assert made.shape == (1, frames, 32, 32, 3)
    # Every frame is there once and in its place.
    np.testing.assert_array_equal(made[0, :, 0, 0, 1], np.arange(frames))
    made_by = made[0, :, 0, 0, 0]
    assert (np.diff(made_by.astype(int)) >= 0).all()
    starts = [int(low[0, 0, 0, 0, 1]) for _, low, _ in stage.calls]
    assert starts[-1] + piece == frames
    for (index, _, given), start in zip(stage.calls, starts, strict=True):
      own = np.flatnonzero(made_by == index)
      assert own.size, 'a piece that shows nothing'
      # What of the result lies in the piece before its own first frame.
      stays = int(own[0]) - start
      if index == 0:
        assert given is None and stays == 0
        continue
      assert (
        stays >= 1
        and int(own[0]) == int(np.flatnonzero(made_by == index - 1)[-1]) + 1
      )
      known = stage.encode_high(made[:, start : start + stays])
      count = known.shape[1]
      assert given.known_BTHW[:, :count].all()
      assert not given.known_BTHW[:, count:].any()
      np.testing.assert_array_equal(given.ids_BTHW[:, :count], known)


def test_pieces_of_17_frames_share_9_or_more():
  spec = specs.VisualSpec()
  plan = long_video.plan
  assert plan(17, 17, spec) == ((0, 0),)
  assert plan(33, 17, spec) == ((0, 0), (8, 9), (16, 9))
  assert plan(24, 17, spec) == ((0, 0), (7, 9))
  assert plan(29, 17, spec) == ((0, 0), (8, 9), (12, 13))
