"""Token sets of images and of four sizes of clips, written in a moment."""

import pathlib

import numpy as np

from videopoet_jax.core import specs
from videopoet_jax.data import tokens

VISUAL = specs.VisualSpec(codebook_size=64)
AUDIO = specs.AudioSpec(levels=2, codes=16, sampling_rate=1600, hop=160)
# 17 and 41 frames, square and portrait, and both sizes as images.
SIZES = (
  (17, 32, 32),
  (17, 56, 32),
  (41, 32, 32),
  (41, 56, 32),
  (1, 32, 32),
  (1, 56, 32),
)


def example(clip: tuple[int, int, int], number: int) -> dict:
  """Ids that tell which example it is; images have no sound."""
  draw = np.random.default_rng(number)
  grid = VISUAL.latent_shape(*clip)
  made = {'video_tokens': draw.integers(0, 64, grid, dtype=np.int32)}
  made['video_tokens'][0, 0, :2] = np.divmod(number, 64)
  if clip[0] > 1:
    frames = AUDIO.latent_frames(clip[0] / VISUAL.frame_rate)
    made['audio_tokens'] = draw.integers(0, 16, (2, frames), dtype=np.int32)
  return {**made, 'text': 'ab', 'clip_id': f'clip-{number}'}


def number_of(video_tokens_THW: np.ndarray) -> int:
  """The number of an example from its first ids."""
  high, low = video_tokens_THW[0, 0, :2]
  return int(high) * 64 + int(low)


def write(
  directory: pathlib.Path,
  clip: tuple[int, int, int],
  numbers=range(24),
  *,
  held_out=range(24, 28),
  fingerprint: str = 'v1',
) -> str:
  """Writes a set of the examples of some numbers."""
  info = tokens.TokenInfo(
    VISUAL,
    AUDIO if clip[0] > 1 else None,
    fingerprint,
    'a1' if clip[0] > 1 else '',
    clip,
  )
  with tokens.TokenWriter(directory, info) as writer:
    for number in numbers:
      writer.write('train', example(clip, number))
    for number in held_out:
      writer.write('validation', example(clip, number))
  return str(directory)


def write_all(folder: pathlib.Path) -> list[str]:
  """One set of each of `SIZES`."""
  return [write(folder / 'x'.join(map(str, clip)), clip) for clip in SIZES]
