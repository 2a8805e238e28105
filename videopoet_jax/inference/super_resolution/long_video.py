"""Super-resolution of a video longer than the model was trained on.

A piece of the trained length at a time; each begins with the last frames of the
one before, whose ids are known and stay. As in `long_video`, old ids cannot be
moved to the front of a clip, so these frames are encoded again.
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
    known: frames at its start that earlier pieces have made. They stay, and
      the piece is told all of them; every later frame of the piece is its own.
  """

  start: int
  known: int


def piece_of(stage: upscaler.Upscaler, frames: int) -> int:
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


def shared_of(spec: specs.VisualSpec, piece: int) -> int:
  """Frames that neighbouring pieces share at least.

  Those of `continuation.CONDITION_LATENTS` latent frames, or all but the last
  latent frame of a piece that has no more; a picture shares nothing.

  Args:
    spec: of the result's tokenizer.
    piece: frames of a piece.
  """
  latents = min(continuation.CONDITION_LATENTS, spec.latent_frames(piece) - 1)
  return spec.frames(latents) if latents else 0


def pieces(frames: int, piece: int, shared: int) -> tuple[int, ...]:
  """First frames of the pieces that cover a video.

  Args:
    frames: of the video, at least `piece`.
    piece: frames of a piece.
    shared: frames that neighbours share at least, below `piece`.
  """
  regular = range(0, frames - piece, piece - shared)
  return (*regular, frames - piece)


def plan(frames: int, piece: int, spec: specs.VisualSpec) -> tuple[Piece, ...]:
  """The pieces that cover a video, in order.

  The last one ends where the video does, so it shares more frames with the one
  before than others do. Only whole latent frames can be known, so up to
  `temporal_stride - 1` frames of the piece before are made again by it.

  Args:
    frames: of the video, at least `piece`.
    piece: frames of a piece.
    spec: of the result's tokenizer.
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
  """Makes a video larger, whatever its length.

  Args:
    stage: with both tokenizers.
    video_BTHWC: uint8 frames.
    text: one a clip, or None.
    config: how ids are drawn.
    seed: of the draws.
    path: of the draws; a piece's number comes behind it.
    batch_size: most clips of one compiled call.

  Returns:
    uint8 (B, T, scale H, scale W, 3). Every frame is that of one piece, and
    every piece was told all frames before it that it shares with the result.

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
      # What is not told to this piece does not stay either.
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
