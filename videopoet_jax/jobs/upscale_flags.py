"""Flags of a job that makes its samples larger by super-resolution."""

import argparse
import re

from videopoet_jax.core import errors
from videopoet_jax.inference.super_resolution import request as request_lib


def add(parser: argparse.ArgumentParser) -> None:
  """Adds the flags to a job's parser."""
  group = parser.add_argument_group('super-resolution')
  group.add_argument(
    '--super_resolution',
    nargs='+',
    default=[],
    metavar='FOLDER',
    help='checkpoints that make the samples larger, one a stage',
  )
  group.add_argument(
    '--upscale', default='', metavar='4x', help='how much all stages enlarge'
  )
  group.add_argument(
    '--upscale_decoder',
    default='',
    metavar='FOLDER',
    help="tokenizer of the last stage's encoder with a better decoder",
  )
  for flag, (_, kind, text) in request_lib.SETTINGS.items():
    group.add_argument(
      f'--upscale_{flag}',
      nargs='+',
      type=kind,
      default=[],
      metavar='VALUE',
      help=f'{text}; one for all stages or one a stage',
    )


def read(flags: argparse.Namespace) -> request_lib.Request | None:
  """What the flags ask for, None for nothing.

  Raises:
    ConfigError: flags do not go together.
  """
  settings = {
    field: tuple(getattr(flags, f'upscale_{flag}'))
    for flag, (field, *_) in request_lib.SETTINGS.items()
    if getattr(flags, f'upscale_{flag}')
  }
  if not flags.super_resolution:
    if flags.upscale or flags.upscale_decoder or settings:
      raise errors.ConfigError(
        '--upscale needs models: give --super_resolution one folder a stage.'
      )
    return None
  scale = 0
  if flags.upscale:
    match = re.fullmatch(r'([1-9]\d*)x?', flags.upscale)
    if match is None:
      raise errors.ConfigError(
        f'--upscale is {flags.upscale!r}; give a whole number such as 4x.'
      )
    scale = int(match.group(1))
  return request_lib.Request(
    tuple(flags.super_resolution), scale, settings, flags.upscale_decoder
  )
