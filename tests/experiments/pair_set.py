"""A token data set of two resolutions that is written in a moment."""

import pathlib

import numpy as np

from videopoet_jax.core import specs
from videopoet_jax.data import tokens

CLIP = (9, 64, 64)
CODES, LOW_CODES = 64, 16


def examples(number: int) -> list[dict[str, object]]:
  """Ids that tell their place: row and column of each low-resolution cell."""
  found = []
  for index in range(number):
    drawn = np.random.default_rng(index)
    low = np.arange(16, dtype=np.int32).reshape(1, 4, 4).repeat(3, axis=0)
    high = low.repeat(2, axis=1).repeat(2, axis=2) * 4
    high += drawn.integers(0, 4, high.shape, np.int32)
    found.append(
      {
        'video_tokens': high,
        'low_tokens': low,
        'text': 'ab'[: index % 3],
        'clip_id': f'clip-{index}',
      }
    )
  return found


def write(directory: pathlib.Path) -> str:
  """Writes 32 training and 8 validation examples of 9 x 64 x 64 over 32 x 32.

  Grids are (3, 8, 8) and (3, 4, 4).
  """
  info = tokens.TokenInfo(
    specs.VisualSpec(codebook_size=CODES),
    visual_fingerprint='v1',
    clip=CLIP,
    low=specs.VisualSpec(codebook_size=LOW_CODES),
    low_fingerprint='l1',
    low_scale=2,
  )
  with tokens.TokenWriter(directory, info) as writer:
    for index, example in enumerate(examples(40)):
      writer.write('train' if index < 32 else 'validation', example)
  return str(directory)
