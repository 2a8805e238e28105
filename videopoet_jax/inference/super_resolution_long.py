"""Super-resolution of a video longer than the model was trained on.

A piece of the trained length at a time; each begins with the last frames of the
one before, whose ids are known and stay. As in `long_video`, old ids cannot be
moved to the front of a clip, so these frames are encoded again.
"""

from collections.abc import Sequence

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.inference import long_video
from videopoet_jax.inference import super_resolution
from videopoet_jax.inference import super_resolution_config as config_lib


def piece_of(stage: super_resolution.Upscaler, frames: int) -> int:
  """Frames of the pieces in which a stage makes a video larger.

  A video is never taken for so many pictures, of which none knows the others.

  Args:
    stage: a model.
    frames: of the video.

  Raises:
    LayoutError: every length that the model was trained on is longer, or it
      knows pictures alone.
  """
  trained = {unit.frames for unit in stage.described.upscalings()}
  fitting = [n for n in trained if n == frames or 1 < n <= frames]
  if not fitting:
    lengths = ', '.join(str(n) for n in sorted(trained))
    raise errors.LayoutError(
      f'{stage.name} was trained on clips of {lengths} frames; got {frames}: '
      'give a longer one.'
    )
  return max(fitting)


def pieces(frames: int, piece: int, shared: int) -> tuple[int, ...]:
  """First frames of the pieces that cover a video.

  Args:
    frames: of the video, at least `piece`.
    piece: frames of a piece.
    shared: frames that neighbours share at least, below `piece`.
  """
  regular = range(0, frames - piece, piece - shared)
  return (*regular, frames - piece)


def upscale(
  stage: super_resolution.Upscaler,
  video_BTHWC: np.ndarray,
  text: Sequence[str] | None = None,
  *,
  config: config_lib.UpscaleConfig = config_lib.STAGE_1,
  seed: int = 0,
  batch_size: int = 8,
) -> np.ndarray:
  """Makes a video larger, whatever its length.

  Args:
    stage: with both tokenizers.
    video_BTHWC: uint8 frames.
    text: one a clip, or None.
    config: how ids are drawn.
    seed: of the draws; every piece has one of its own.
    batch_size: most clips of one compiled call.

  Returns:
    uint8 (B, T, scale H, scale W, 3).

  Raises:
    LayoutError: see `piece_of`.
    CheckpointError: a tokenizer is missing.
  """
  frames = video_BTHWC.shape[1]
  piece = piece_of(stage, frames)
  shared = stage.spec.frames(long_video.CONDITION_LATENTS)
  # A picture, or clips as short as what would be shared, have nothing to share.
  shared = shared if piece > shared else 0
  made: np.ndarray | None = None
  for index, start in enumerate(pieces(frames, piece, shared)):
    given = None
    if made is not None and shared:
      known = stage.encode_high(made[:, start : start + shared])
      grid = stage.grid(piece, *video_BTHWC.shape[2:4])
      ids_BTHW = np.zeros((len(video_BTHWC), *grid), np.int32)
      ids_BTHW[:, : known.shape[1]] = known
      known_BTHW = np.zeros(ids_BTHW.shape, bool)
      known_BTHW[:, : known.shape[1]] = True
      given = super_resolution.Given(ids_BTHW, known_BTHW)
    larger = stage.upscale(
      video_BTHWC[:, start : start + piece],
      text,
      given=given,
      config=config,
      seed=seed,
      piece=index,
      batch_size=batch_size,
    ).video_BTHWC
    assert larger is not None
    if made is None:
      made = larger
    else:
      new = made.shape[1] - start
      made = np.concatenate([made, larger[:, new:]], axis=1)
  assert made is not None
  return made
