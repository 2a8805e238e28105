"""Errors that a user can cause, and nothing else.

An entry point shows a `UserError` as one line and exits with status 2; every
other exception is a bug of ours and shows its traceback. So a message here
must stand alone: which file or gin binding, what was expected of it, and what
to do about it.
"""

from collections.abc import Iterable
import difflib
import math


class UserError(Exception):
  """A mistake of the user's; the message says how to correct it."""

  def _render_traceback_(self) -> list[str]:
    """How a notebook shows it: as the command does, on one line."""
    return [f'{type(self).__name__}: {self}']


class ConfigError(UserError):
  """A gin file, a gin binding or a command-line flag is wrong."""


class DataError(UserError):
  """A media file, a data set or a task definition cannot be used."""


class NoExamplesError(DataError):
  """A data set is sound, but a split or a filter leaves no example of it."""


class CheckpointError(UserError):
  """A checkpoint folder is missing, incomplete or of another model."""


class MeshError(UserError):
  """The requested device mesh does not fit the devices or the model."""


class LayoutError(UserError):
  """A layout's name or sizes are impossible, or ids do not fit a layout."""


def check_choice(setting: str, value: str, known: Iterable[str]) -> None:
  """Raises ConfigError unless a setting, `Config.field`, has a known value."""
  known = tuple(known)
  if value not in known:
    raise ConfigError(f'{setting} is {value!r}{near_names(value, known)}.')


def check_positive(setting: str, value: int) -> None:
  """Raises ConfigError unless a setting, such as `--flag`, is 1 or more."""
  if value < 1:
    raise ConfigError(f'{setting} is {value}; it must be at least 1.')


def check_not_negative(setting: str, value: float) -> None:
  """Raises ConfigError where a setting, such as `--seed`, is below 0."""
  if value < 0:
    raise ConfigError(f'{setting} is {value:g}; it must be at least 0.')


def check_range(
  config: object,
  *fields: str,
  least: float = 0,
  most: float = math.inf,
  above: bool = False,
) -> None:
  """Checks number fields of a config; None and fields of tuples, each entry.

  Args:
    config: a dataclass; its class' name is part of the message.
    *fields: names of its fields.
    least: the smallest value.
    most: the largest value.
    above: whether `least` itself is too small.

  Raises:
    ConfigError: a value lies outside, or is NaN or infinite.
  """
  for field in fields:
    value = getattr(config, field)
    for number in value if isinstance(value, list | tuple) else (value,):
      if number is None:
        continue
      low = number > least if above else number >= least
      if math.isfinite(number) and low and number <= most:
        continue
      wish = f'above {least}' if above else f'at least {least}'
      if most < math.inf:
        wish += f' and at most {most}'
      raise ConfigError(
        f'{type(config).__name__}.{field} is {value}; it must be {wish}'
      )


def near_names(name: str, known: Iterable[str]) -> str:
  """A hint to put behind a wrong name.

  Args:
    name: what the user wrote.
    known: the names that exist.

  Returns:
    ` (did you mean 'a' or 'b'?)` where some are close, else ` (known: a, b)`.
  """
  known = sorted(known)
  close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
  if close:
    return f' (did you mean {" or ".join(repr(n) for n in close)}?)'
  return f' (known: {", ".join(known)})' if known else ''
