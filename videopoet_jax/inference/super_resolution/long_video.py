"""Super-resolution of videos longer than the model was trained on.

The video is upscaled in pieces of the trained length; each begins with the last
frames of the one before, whose ids are known and stay. As in `long_video`, old
ids cannot be moved to the front of a clip, so these frames are encoded again.
"""

from collections.abc import Sequence
import itertools
from typing import NamedTuple

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.inference import continuation
from videopoet_jax.inference import draws
from videopoet_jax.inference.super_resolution import config as config_lib
from videopoet_jax.inference.super_resolution import upscaler


class Piece(NamedTuple):
  """A part of a video that is upscaled in one call.

  Attributes:
    start: its first frame in the video.
    known: frames at its start that earlier pieces have made. They stay, and all
      of them condition the piece; every later frame of the piece is its own.
  """

  start: int
  known: int


def piece_of(stage: upscaler.Upscaler, frames: int) -> int:
  """Number of frames of the pieces in which a stage upscales a video.

  A video is never upscaled as independent pictures.

  Args:
    stage: stage that upscales.
    frames: frames of the video.

  Raises:
    LayoutError: every trained length is longer, or the model was trained on
      pictures only.
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


def shared_of(spec: specs.VisualSpec, piece: int) -> int:
  """Least number of frames that neighbouring pieces share.

  This is `continuation.CONDITION_LATENTS` latent frames, or all but the last
  latent frame of a shorter piece; a picture shares nothing.

  Args:
    spec: grid of the result's tokenizer.
    piece: frames of a piece.
  """
  latents = min(continuation.CONDITION_LATENTS, spec.latent_frames(piece) - 1)
  return spec.frames(latents) if latents else 0


def pieces(frames: int, piece: int, shared: int) -> tuple[int, ...]:
  """First frames of the pieces that cover a video.

  Args:
    frames: frames of the video, at least `piece`.
    piece: frames of a piece.
    shared: frames that neighbours share at least, below `piece`.
  """
  regular = range(0, frames - piece, piece - shared)
  return (*regular, frames - piece)


def plan(frames: int, piece: int, spec: specs.VisualSpec) -> tuple[Piece, ...]:
  """The pieces that cover a video, in order.

  The last piece ends where the video does, so it shares more frames with the
  one before than others do. Only whole latent frames can be known, so it
  generates up to `temporal_stride - 1` frames of the piece before again.

  Args:
    frames: frames of the video, at least `piece`.
    piece: frames of a piece.
    spec: grid of the result's tokenizer.
  """
  starts = pieces(frames, piece, shared_of(spec, piece))
  found = [Piece(0, 0)]
  for before, start in itertools.pairwise(starts):
    common = before + piece - start
    known = 0
    if common:
      known = common - (common - 1) % spec.temporal_stride
    found.append(Piece(start, known))
  return tuple(found)


def upscale(
  stage: upscaler.Upscaler,
  video_BTHWC: np.ndarray,
  text: Sequence[str] | None = None,
  *,
  config: config_lib.UpscaleConfig = config_lib.STAGE_1,
  seed: int = 0,
  path: draws.Path = (),
  batch_size: int = 8,
) -> np.ndarray:
  """Upscales a video of any length.

  Args:
    stage: stage with both tokenizers.
    video_BTHWC: uint8 frames.
    text: one text a clip, or None.
    config: settings of sampling.
    seed: seed of the draws.
    path: path of the draws; a piece's number is appended.
    batch_size: most clips of one compiled call.

  Returns:
    uint8 (B, T, scale H, scale W, 3). Every frame comes from one piece, and
    every piece was conditioned on all earlier frames that it shares.

  Raises:
    LayoutError: see `piece_of`.
    CheckpointError: a tokenizer is missing.
  """
  length = piece_of(stage, video_BTHWC.shape[1])
  grid = stage.grid(length, *video_BTHWC.shape[2:4])
  made: np.ndarray | None = None
  for index, piece in enumerate(plan(video_BTHWC.shape[1], length, stage.spec)):
    given = None
    if made is not None:
      # Frames that this piece is not conditioned on do not stay.
      made = made[:, : piece.start + piece.known]
    if made is not None and piece.known:
      told = stage.encode_high(made[:, piece.start :])
      ids_BTHW = np.zeros((len(video_BTHWC), *grid), np.int32)
      known_BTHW = np.zeros(ids_BTHW.shape, bool)
      ids_BTHW[:, : told.shape[1]] = told
      known_BTHW[:, : told.shape[1]] = True
      given = upscaler.Given(ids_BTHW, known_BTHW)
    larger = stage.upscale(
      video_BTHWC[:, piece.start : piece.start + length],
      text,
      given=given,
      config=config,
      seed=seed,
      path=(*path, index),
      batch_size=batch_size,
    ).video_BTHWC
    assert larger is not None
    new = larger[:, piece.known :]
    made = new if made is None else np.concatenate([made, new], axis=1)
  assert made is not None
  return made
