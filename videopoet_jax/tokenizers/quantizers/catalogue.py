"""The kinds of quantizers, and which settings belong to which."""

from __future__ import annotations

import math
from typing import Protocol

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.quantizers import bsq
from videopoet_jax.tokenizers.quantizers import fsq
from videopoet_jax.tokenizers.quantizers import interface
from videopoet_jax.tokenizers.quantizers import lfq
from videopoet_jax.tokenizers.quantizers import vq

KINDS = ('lfq', 'bsq', 'fsq', 'vq')

# Field of a config -> the kinds with which it acts.
_ACTS_WITH = {
  'num_bits': ('lfq', 'bsq'),
  'normalize_latents': ('lfq',),
  'fsq_levels': ('fsq',),
  'vq_codebook_size': ('vq',),
  'vq_code_dim': ('vq',),
  'vq_gradient': ('vq',),
}


class Settings(Protocol):
  """Fields of a tokenizer's config that choose its quantizer.

  See `magvit2.config.VisualTokenizerConfig`.
  """

  @property
  def quantizer(self) -> str: ...
  @property
  def num_bits(self) -> int: ...
  @property
  def fsq_levels(self) -> tuple[int, ...]: ...
  @property
  def vq_codebook_size(self) -> int: ...
  @property
  def vq_code_dim(self) -> int: ...
  @property
  def vq_gradient(self) -> str: ...


def make(settings: Settings) -> interface.Quantizer:
  """Returns the quantizer that checked settings describe.

  It has no parent, so that it may be asked for sizes inside other modules; one
  that is assigned in `setup` becomes a submodule.
  """
  if settings.quantizer == 'lfq':
    return lfq.LookupFreeQuantizer(settings.num_bits, parent=None)
  if settings.quantizer == 'bsq':
    return bsq.BinarySphericalQuantizer(settings.num_bits, parent=None)
  if settings.quantizer == 'fsq':
    return fsq.FiniteScalarQuantizer(settings.fsq_levels, parent=None)
  return vq.VectorQuantizer(
    settings.vq_codebook_size,
    settings.vq_code_dim,
    settings.vq_gradient,
    parent=None,
  )


def check(settings: Settings) -> None:
  """Checks the fields that choose a quantizer.

  Raises:
    ConfigError: a value is wrong, or set for a kind with which it cannot act.
  """
  name = type(settings).__name__
  kind = settings.quantizer
  errors.check_choice(f'{name}.quantizer', kind, KINDS)
  for field, kinds in _ACTS_WITH.items():
    value, default = getattr(settings, field), getattr(type(settings), field)
    if kind not in kinds and value != default:
      raise errors.ConfigError(
        f'{name}.{field} is {value!r} and cannot act with {name}.quantizer ='
        f' {kind!r} (it acts with {" and ".join(kinds)}); leave it at its'
        f' default, {default!r}.'
      )
  if not 1 <= settings.num_bits <= 24:
    raise errors.ConfigError(
      f'{name}.num_bits is {settings.num_bits}; it must be from 1 to 24 (the '
      'paper has 18).'
    )
  if kind == 'fsq':
    _check_levels(name, settings.fsq_levels)
  elif kind == 'vq':
    errors.check_choice(
      f'{name}.vq_gradient', settings.vq_gradient, vq.GRADIENTS
    )
    errors.check_range(
      settings, 'vq_codebook_size', least=2, most=interface.MOST_CODES
    )
    errors.check_range(settings, 'vq_code_dim', least=1)


def _check_levels(name: str, levels: tuple[int, ...]) -> None:
  if not levels or min(levels) < fsq.LEAST_LEVELS:
    raise errors.ConfigError(
      f'{name}.fsq_levels is {levels}; expected one number a dimension, each at'
      f' least {fsq.LEAST_LEVELS}, for example (8, 8, 8, 5, 5, 5).'
    )
  if math.prod(levels) > interface.MOST_CODES:
    raise errors.ConfigError(
      f'{name}.fsq_levels is {levels}, a codebook of {math.prod(levels)} codes;'
      f' at most {interface.MOST_CODES} are possible.'
    )
