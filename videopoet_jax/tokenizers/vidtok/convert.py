"""Sizes of a VidTok checkpoint, read from its arrays."""

from collections.abc import Mapping
import pathlib
from typing import Any

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.published import family
from videopoet_jax.tokenizers.vidtok import bundle
from videopoet_jax.tokenizers.vidtok import config as config_lib

_WHAT = 'a causal VidTok'


def infer_config(
  state: family.State, settings: Mapping[str, Any], path: pathlib.Path
) -> config_lib.VidTokConfig:
  """Returns the sizes of a causal VidTok with finite scalar quantization.

  Versions 1.0 and 1.1 have the same arrays: unless it is a setting, the version
  is 1.1 if the file's name has `v1_1`, as the published ones do.

  Args:
    state: arrays by key.
    settings: fields that the arrays do not tell.
    path: the checkpoint's path.

  Raises:
    CheckpointError: it is another kind of tokenizer.
  """
  if 'encoder.conv_in.weight' in state:
    raise errors.CheckpointError(
      'these are the weights of a VidTok that is not causal: its ids of a'
      ' continuation would depend on frames to come; give a'
      ' vidtok_fsq_causal_* file.'
    )
  if 'encoder.norm_out.weight' in state:
    raise errors.CheckpointError(
      'these are the weights of a VidTok with group normalization, which is not'
      ' read; the published causal tokenizers with ids have layer'
      ' normalization.'
    )
  channels = family.shape(state, 'encoder.conv_in.conv.weight', _WHAT)[0]
  latent = family.shape(state, 'encoder.conv_out.conv.weight', _WHAT)[0]
  inner = family.shape(state, 'decoder.conv_in.conv.weight', _WHAT)[1]
  if latent != inner:
    raise errors.CheckpointError(
      f'the encoder gives {latent} channels and the decoder takes {inner}:'
      ' these are the weights of a VidTok with continuous latents (KL), which'
      ' has no ids; give a vidtok_fsq_causal_* file.'
    )
  levels = family.count(state, r'encoder\.down\.(\d+)\.block\.')
  multipliers = tuple(
    family.shape(state, f'encoder.down.{level}.block.0.conv1.weight', _WHAT)[0]
    // channels
    for level in range(levels)
  )
  values: dict[str, Any] = {
    'version': '1.1' if 'v1_1' in path.name else '1.0',
    'levels': (8,) * latent,
  }
  values.update(settings)
  config = config_lib.VidTokConfig(
    channels=channels,
    channel_multipliers=multipliers,
    num_residual_blocks=family.count(
      state, r'encoder\.down\.0\.block\.(\d+)\.'
    ),
    down_levels=family.numbers(
      state, r'encoder\.down_temporal\.(\d+)\.downsample\.'
    ),
    up_levels=family.numbers(state, r'decoder\.up_temporal\.(\d+)\.upsample\.'),
    **values,
  )
  if len(config.levels) != latent:
    raise errors.CheckpointError(
      f'--set levels={",".join(map(str, config.levels))} has'
      f' {len(config.levels)} entries; these weights have {latent} latent'
      ' dimensions.'
    )
  return config


FAMILY = family.Family(
  bundle=bundle.VidTok,
  prefixes=('encoder.', 'decoder.', 'regularization.'),
  settings={
    'version': '1.0 or 1.1',
    'levels': 'levels of each latent dimension (8 each)',
    'frame_rate': 'frames a second of your clips (8)',
  },
  infer=infer_config,
)
