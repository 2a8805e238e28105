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
        # From 0 to 1 in either split.
        'quality': np.float32((index % 8) / 7),
      }
      writer.write('train' if index < 32 else 'validation', example)
  return str(directory)


def train_flags(
  directory: str, *, steps: int, save_every: int = 2, validate_every: int = 4
) -> list[str]:
  """Flags of a `videopoet train` on it that compiles in seconds."""
  bindings = {
    'TOKENS': directory,
    'VISUAL': '',
    'AUDIO': '',
    'STEPS': steps,
    'load_tasks.tasks': ['unconditional', 'video_to_audio'],
    'prefix_lm.tokens_per_batch': 256,
    'LoopConfig.tensorboard': False,
    'LoopConfig.log_every': 1,
    'LoopConfig.validate_every': validate_every,
    'LoopConfig.save_every': save_every,
  }
  files = ('gin/runs/shapes_prefix_lm.gin', 'gin/local_tiny.gin')
  return [
    *(flag for file in files for flag in ('--gin_file', file)),
    *(f'--gin.{name}={value!r}' for name, value in bindings.items()),
  ]
