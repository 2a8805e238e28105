"""Chunks of a clip, each continuing from what the one before it has left.

The first chunk of a clip has 1 + stride * k frames and 1 + k latent frames,
every later one stride * k and k. The last chunk is filled up at its end, which
changes nothing before it because the tokenizer is causal, and its result is
cut; so a clip of any length takes two compiled programs.
"""

from collections.abc import Callable, Iterable, Iterator
import dataclasses
from typing import Any

import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers.magvit2 import tiling

# Runs one chunk: (carry, input of the chunk) -> (next carry, result). The carry
# is None before the first chunk.
Step = Callable[[Any, np.ndarray], tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Coder:
  """Encoding or decoding in chunks.

  Attributes:
    step: runs one chunk of a batch.
    first: frames (or latent frames, to decode) of the first chunk.
    later: frames of every later chunk.
    length_of: maps the number of frames taken since the start of the clip to
      that of latent frames, or to decode the reverse.
    finish: applied to the result of whole frames, all tiles joined.
  """

  step: Step
  first: int
  later: int
  length_of: Callable[[int], int]
  finish: Callable[[np.ndarray], np.ndarray] = lambda result: result


def latents_of(spec: specs.VisualSpec, frames: int) -> int:
  """Latent frames of any number of frames, the last one perhaps not filled."""
  return 1 - (1 - frames) // spec.temporal_stride if frames else 0


class Run:
  """Encodes or decodes one tile of a batch of clips, chunk by chunk."""

  def __init__(self, coder: Coder) -> None:
    """Starts before the first chunk."""
    self._coder = coder
    self._carry: Any = None
    self._taken = self._given = 0

  def push(self, chunk_BT: np.ndarray, length: int) -> np.ndarray:
    """Runs the next chunk.

    Args:
      chunk_BT: (batch, frames, ...), as long as every such chunk.
      length: number of its frames that belong to the clip.

    Returns:
      The result of those, (batch, frames, ...).
    """
    self._carry, result = self._coder.step(self._carry, chunk_BT)
    self._taken += length
    due = self._coder.length_of(self._taken) - self._given
    self._given += due
    return np.asarray(result)[:, :due]


def run(
  coder: Coder, mosaic: tiling.Mosaic, clips_BT: np.ndarray
) -> np.ndarray:
  """Encodes or decodes a batch of clips, all of one tile before the next.

  Args:
    coder: what to do with each chunk.
    mosaic: tiles of the frames.
    clips_BT: (batch, frames, height, width, ...).

  Returns:
    (batch, frames, height, width, ...) of the result.
  """
  whole: np.ndarray | None = None
  for tile in mosaic.tiles:
    one, done = Run(coder), 0
    part_BT = mosaic.part(tile, clips_BT)
    for chunk_BT, length in split(part_BT, coder.first, coder.later):
      result = one.push(chunk_BT, length)
      if whole is None:
        whole = mosaic.empty(coder.length_of(clips_BT.shape[1]), result)
      mosaic.add(whole[:, done : done + result.shape[1]], tile, result)
      done += result.shape[1]
  assert whole is not None
  mosaic.finish(whole)
  return coder.finish(whole)


def stream(
  coder: Coder,
  mosaic_of: Callable[[np.ndarray], tiling.Mosaic],
  pieces: Iterable[np.ndarray],
  rank: int,
) -> Iterator[np.ndarray]:
  """Encodes or decodes one clip as its frames come, all tiles of each chunk.

  Args:
    coder: what to do with each chunk.
    mosaic_of: checks a chunk (1, frames, height, width, ...) and returns the
      tiles of its frames.
    pieces: see `gather`.
    rank: see `gather`.

  Yields:
    (frames, height, width, ...) of the result of each chunk.
  """
  runs: list[Run] = []
  for chunk_T, length in gather(pieces, rank, coder.first, coder.later):
    chunk_BT = chunk_T[None]
    mosaic = mosaic_of(chunk_BT)
    runs = runs or [Run(coder) for _ in mosaic.tiles]
    whole: np.ndarray | None = None
    for one, tile in zip(runs, mosaic.tiles, strict=True):
      result = one.push(mosaic.part(tile, chunk_BT), length)
      if whole is None:
        whole = mosaic.empty(result.shape[1], result)
      mosaic.add(whole, tile, result)
    assert whole is not None
    mosaic.finish(whole)
    yield coder.finish(whole)[0]


def split(
  clips_BT: np.ndarray, first: int, later: int
) -> Iterator[tuple[np.ndarray, int]]:
  """Yields the chunks of a batch of clips and the length of each.

  Args:
    clips_BT: (batch, frames, ...).
    first: frames of the first chunk.
    later: frames of every later chunk.
  """
  start, size = 0, first
  while start < clips_BT.shape[1]:
    chunk_BT = clips_BT[:, start : start + size]
    length = chunk_BT.shape[1]
    yield _filled(chunk_BT, size, axis=1), length
    start, size = start + size, later


def gather(
  pieces: Iterable[np.ndarray], rank: int, first: int, later: int
) -> Iterator[tuple[np.ndarray, int]]:
  """Collects frames to the chunks of one clip; yields them with their length.

  Args:
    pieces: frames, or arrays of several with a leading axis.
    rank: number of axes of one frame.
    first: frames of the first chunk.
    later: frames of every later chunk.

  Yields:
    Chunks (frames, ...) and how many of their frames were given.

  Raises:
    LayoutError: a piece has other axes or another size than the first.
  """
  kept: list[np.ndarray] = []
  size, expected, number = first, None, 0
  for frame in _frames(pieces, rank):
    expected = expected or frame.shape
    if frame.shape != expected:
      raise errors.LayoutError(
        f'frame {number} of the clip has shape {frame.shape}; those before it '
        f'have {expected}. Give frames of one size.'
      )
    # A reader may write the next frame into the same memory.
    kept.append(np.array(frame))
    number += 1
    if len(kept) == size:
      yield np.stack(kept), size
      kept, size = [], later
  if kept:
    yield _filled(np.stack(kept), size, axis=0), len(kept)


def _frames(pieces: Iterable[np.ndarray], rank: int) -> Iterator[np.ndarray]:
  for piece in pieces:
    piece = np.asarray(piece)
    if piece.ndim == rank:
      yield piece
    elif piece.ndim == rank + 1:
      yield from piece
    else:
      raise errors.LayoutError(
        f'a piece of a clip has shape {piece.shape}; expected one frame of '
        f'{rank} axes, or several with a leading axis.'
      )


def _filled(chunk: np.ndarray, size: int, axis: int) -> np.ndarray:
  """Repeats the last frame until there are `size`."""
  missing = size - chunk.shape[axis]
  if not missing:
    return chunk
  last = np.take(chunk, [-1], axis=axis)
  return np.concatenate((chunk, np.repeat(last, missing, axis)), axis)
