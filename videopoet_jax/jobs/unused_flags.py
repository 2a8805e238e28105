"""Flags that cannot act beside others: refused, not ignored."""

import argparse
from collections.abc import Iterable

from videopoet_jax.core import errors


def refuse(
  parser: argparse.ArgumentParser,
  flags: argparse.Namespace,
  names: Iterable[str],
  reason: str,
) -> None:
  """Refuses flags whose value differs from the default.

  Args:
    parser: parser of the flags.
    flags: as parsed.
    names: names of flags, without dashes.
    reason: why they cannot act, behind `--name cannot act `.

  Raises:
    ConfigError: one of them is given.
  """
  for name in names:
    if getattr(flags, name) != parser.get_default(name):
      raise errors.ConfigError(f'--{name} cannot act {reason}; leave it out.')


def others(
  parser: argparse.ArgumentParser, but: Iterable[str] = ()
) -> list[str]:
  """Names of all flags of a parser but some."""
  left_out = {'help', *but}
  return [
    action.dest for action in parser._actions if action.dest not in left_out
  ]
