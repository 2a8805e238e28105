"""Sizes of a Cosmos DV checkpoint, read from its arrays and its name."""

from collections.abc import Mapping
import pathlib
import re
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.cosmos import bundle
from videopoet_jax.tokenizers.cosmos import config as config_lib
from videopoet_jax.tokenizers.published import family

_WHAT = 'a Cosmos DV tokenizer'
# `Cosmos-0.1-Tokenizer-DV8x16x16`, or `Cosmos-Tokenize1-DV8x16x16-720p`.
_STRIDES = re.compile(r'DV(\d+)x(\d+)x\2')
# Constants that TorchScript stores beside the weights.
_CONSTANT = re.compile(
  r'.*\.(wavelets|_arange|patch_size_buffer|_levels|_basis|implicit_codebook)$'
)
# Every downsampling and upsampling has three convolutions; those of an axis
# that keeps its size are not used, and one that keeps all uses none.
_UNUSED = re.compile(r'(en|de)coder\.(down|up)\.\d+\.(down|up)sample\.conv\d\.')


def infer_config(
  state: family.State, settings: Mapping[str, Any], path: pathlib.Path
) -> config_lib.CosmosConfig:
  """Returns the sizes of a tokenizer of discrete video.

  Strides are not in the arrays: unless they are settings, the name of the file
  or of a folder above it must hold them as in `DV8x16x16`.

  Args:
    state: arrays by key.
    settings: fields that the arrays do not tell.
    path: the checkpoint's path.

  Raises:
    CheckpointError: it is another kind of tokenizer, one half of one, or its
      strides are not known.
  """
  if 'encoder.conv_in.conv3d.weight' in state or (
    'encoder.conv_in.weight' in state
  ):
    raise errors.CheckpointError(
      'these are the weights of a Cosmos tokenizer of images, or of an older'
      ' kind without split convolutions; give a Cosmos DV checkpoint.'
    )
  for half, other in (('encoder', 'decoder'), ('decoder', 'encoder')):
    if not any(key.startswith(f'{half}.') for key in state):
      raise errors.CheckpointError(
        f'this file has no {half}: give the folder that holds both'
        f' {other}.jit and {half}.jit, or autoencoder.jit.'
      )
  strides = {'temporal_stride', 'spatial_stride'} - set(settings)
  found = [match for match in map(_STRIDES.search, path.parts[::-1]) if match]
  values: dict[str, Any] = {}
  if strides and not found:
    raise errors.CheckpointError(
      'the strides are neither in the weights nor in the name; give --set'
      ' temporal_stride=8 --set spatial_stride=16, or rename the folder after'
      ' the published one (DV8x16x16).'
    )
  if strides:
    values['temporal_stride'] = int(found[0].group(1))
    values['spatial_stride'] = int(found[0].group(2))
  latent = family.shape(state, 'quant_conv.conv3d.weight', _WHAT)[:2]
  levels = state.get('quantizer._levels')
  if levels is not None:
    values['levels'] = tuple(int(level) for level in levels)
  values.update(settings)
  first = family.shape(state, 'encoder.conv_in.0.conv3d.weight', _WHAT)
  channels = first[0]
  multipliers = tuple(
    family.shape(
      state, f'encoder.down.{level}.block.0.conv1.0.conv3d.weight', _WHAT
    )[0]
    // channels
    for level in range(family.count(state, r'encoder\.down\.(\d+)\.block\.'))
  )
  config = config_lib.CosmosConfig(
    patch_size=round((first[1] / 3) ** (1 / 3)),
    channels=channels,
    channel_multipliers=multipliers,
    num_residual_blocks=family.count(
      state, r'encoder\.down\.0\.block\.(\d+)\.'
    ),
    latent_channels=latent[1],
    **values,
  )
  if len(config.levels) != latent[0]:
    raise errors.CheckpointError(
      f'these weights have {latent[0]} latent dimensions and'
      f' {len(config.levels)} levels; a Cosmos tokenizer of continuous video'
      ' has no ids. Give a DV checkpoint, or --set levels=...'
    )
  return config


FAMILY = family.Family(
  bundle=bundle.Cosmos,
  prefixes=('encoder.', 'decoder.', 'quant', 'post_quant_conv.'),
  settings={
    'temporal_stride': 'frames of a latent frame (4 or 8)',
    'spatial_stride': 'pixels of a latent cell (8 or 16)',
    'levels': 'levels of each latent dimension (8,8,8,5,5,5)',
    'frame_rate': 'frames a second of your clips (8)',
  },
  infer=infer_config,
  files=(('autoencoder.jit',), ('encoder.jit', 'decoder.jit')),
  unused=lambda key: bool(_CONSTANT.match(key) or _UNUSED.match(key)),
)
