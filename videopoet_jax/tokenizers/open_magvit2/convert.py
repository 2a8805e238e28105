"""Sizes of an Open-MAGVIT2 checkpoint, read from its arrays."""

from collections.abc import Mapping
import pathlib
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.open_magvit2 import bundle
from videopoet_jax.tokenizers.open_magvit2 import config as config_lib
from videopoet_jax.tokenizers.published import family

_WHAT = 'Open-MAGVIT2'


def infer_config(
  state: family.State, settings: Mapping[str, Any], path: pathlib.Path
) -> config_lib.OpenMagvit2Config:
  """Returns the sizes of an image or video tokenizer.

  Args:
    state: arrays by key.
    settings: fields that the arrays do not tell.
    path: the checkpoint's path.

  Raises:
    CheckpointError: it is another kind of tokenizer.
  """
  del path
  if any(key.startswith('quantize.embedding') for key in state):
    raise errors.CheckpointError(
      'these weights have a learned codebook, as those of IBQ and VQGAN; only'
      ' Open-MAGVIT2 with lookup-free quantization is read.'
    )
  video = 'encoder.conv_in.conv_1.weight' in state
  suffix = '.conv_1.weight' if video else '.weight'
  channels = family.shape(state, f'encoder.conv_in{suffix}', _WHAT)[0]
  multipliers = tuple(
    family.shape(state, f'encoder.down.{level}.block.0.conv1{suffix}', _WHAT)[0]
    // channels
    for level in range(family.count(state, r'encoder\.down\.(\d+)\.block\.'))
  )
  return config_lib.OpenMagvit2Config(
    video=video,
    num_bits=family.shape(state, f'encoder.conv_out{suffix}', _WHAT)[0],
    channels=channels,
    channel_multipliers=multipliers,
    num_residual_blocks=family.count(
      state, r'encoder\.down\.0\.block\.(\d+)\.'
    ),
    **settings,
  )


FAMILY = family.Family(
  bundle=bundle.OpenMagvit2,
  prefixes=('encoder.', 'decoder.', 'quantize.'),
  settings={'frame_rate': 'frames a second of your clips (8)'},
  infer=infer_config,
)
