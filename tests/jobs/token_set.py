"""A token data set that is written in a moment."""

import pathlib

import numpy as np

from videopoet_jax.core import specs
from videopoet_jax.data import tokens


def write(directory: pathlib.Path) -> str:
  """Writes 32 training and 8 validation examples of 9 x 16 x 16 and sound."""
  info = tokens.TokenInfo(
    specs.VisualSpec(codebook_size=64),
    specs.AudioSpec(levels=2, codes=16, sampling_rate=1600, hop=160),
    'v1',
    'a1',
    (9, 16, 16),
  )
  with tokens.TokenWriter(directory, info) as writer:
    for index in range(40):
      draw = np.random.default_rng(index)
      example = {
        'video_tokens': draw.integers(0, 64, (3, 2, 2), dtype=np.int32),
        'audio_tokens': draw.integers(0, 16, (2, 11), dtype=np.int32),
        'text': 'ab',
        'clip_id': f'clip-{index}',
      }
      writer.write('train' if index < 32 else 'validation', example)
  return str(directory)
