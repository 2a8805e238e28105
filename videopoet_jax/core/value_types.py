"""Whether a value that a user wrote fits a type annotation.

The libraries for it answer other questions: typeguard and beartype take True
for an int and a string for a sequence of strings, pydantic in its strict mode
takes no list for a tuple, and none of them knows gin's references, which have
to be judged before anything is called. This module implements the small part of
`typing` that configs use.
"""

import collections.abc
from collections.abc import Mapping
import dataclasses
import functools
import math
import os
import types
import typing
from typing import Any

from videopoet_jax.core import errors

_SEQUENCES = (
  collections.abc.Sequence,
  collections.abc.Iterable,
  collections.abc.Collection,
  list,
)
_LITERALS = (bool, int, float, str, bytes, list, tuple, dict, set, type(None))
_WORDS = {
  bool: ('True or False', 'True or False'),
  int: ('a whole number', 'whole numbers'),
  float: ('a number', 'numbers'),
  str: ('a string', 'strings'),
  type(None): ('None', 'None'),
}
_LONGEST = 60


class Anything:
  """A value of which nothing is known; it fits every annotation."""

  def __repr__(self) -> str:
    return 'a value given later'


@dataclasses.dataclass(frozen=True)
class Result:
  """Stands for what a function or class will return.

  Attributes:
    name: name as the user wrote it, `@LoopConfig()`.
    annotation: the class, or the annotation of what the function returns.
  """

  name: str
  annotation: Any

  def __repr__(self) -> str:
    return self.name


@dataclasses.dataclass(frozen=True)
class Function:
  """Stands for a function or class that is handed on without being called.

  Attributes:
    name: name as the user wrote it, `@LoopConfig`.
  """

  name: str

  def __call__(self) -> None:
    """Does nothing; its presence makes the object callable."""

  def __repr__(self) -> str:
    return self.name


def fits(value: Any, annotation: Any) -> bool:
  """Whether a value matches a type annotation.

  A whole number fits `float`, and a list fits `tuple`; True is no number, a
  string is no sequence, and neither NaN nor infinity is a number.

  Args:
    value: a literal, or nested `Anything` and `Result`.
    annotation: what `typing.get_type_hints(..., include_extras=True)` returns.
  """
  if isinstance(value, Anything) or annotation in (Any, object):
    return True
  origin, args = typing.get_origin(annotation), typing.get_args(annotation)
  if origin is typing.Annotated:
    # The first item is the type that is stored, the second the type accepted.
    return fits(value, args[1])
  if origin in (typing.Union, types.UnionType):
    return any(fits(value, one) for one in args)
  if origin is typing.Literal:
    return any(value == one and type(value) is type(one) for one in args)
  if isinstance(value, Result):
    return _may_return(value.annotation, annotation)
  kind = origin or annotation
  if annotation is None or kind is type(None):
    return value is None
  if isinstance(kind, typing.TypeVar | typing.NewType):
    return True
  if kind is float:
    return _is_number(value) and math.isfinite(value)
  if kind is int:
    return isinstance(value, int) and not isinstance(value, bool)
  if kind is tuple:
    return isinstance(value, list | tuple) and _fit_tuple(value, args)
  if kind in _SEQUENCES:
    element = args[0] if args else Any
    return isinstance(value, list | tuple) and all(
      fits(one, element) for one in value
    )
  if kind in (Mapping, collections.abc.MutableMapping, dict):
    key, item = args or (Any, Any)
    return isinstance(value, Mapping) and all(
      fits(k, key) and fits(v, item) for k, v in value.items()
    )
  if kind is collections.abc.Callable:
    return callable(value)
  if kind is os.PathLike:
    return isinstance(value, str | os.PathLike)
  if getattr(kind, '_is_protocol', False):
    return not isinstance(value, _LITERALS)
  return not isinstance(kind, type) or isinstance(value, kind)


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _fit_tuple(value: Any, args: tuple[Any, ...]) -> bool:
  if not args:
    return True
  if len(args) == 2 and args[1] is Ellipsis:
    return all(fits(one, args[0]) for one in value)
  return len(value) == len(args) and all(map(fits, value, args))


def _may_return(result: Any, annotation: Any) -> bool:
  """Whether a function's result can match an annotation."""
  if typing.get_origin(result) in (typing.Union, types.UnionType):
    return any(_may_return(r, annotation) for r in typing.get_args(result))
  result = typing.get_origin(result) or result
  wanted = typing.get_origin(annotation) or annotation
  if not isinstance(result, type) or not isinstance(wanted, type):
    return result is wanted or not isinstance(result, type)
  if getattr(wanted, '_is_protocol', False):
    return result not in _LITERALS
  if wanted is float:
    return issubclass(result, int | float) and result is not bool
  if wanted is tuple or wanted in _SEQUENCES:
    return issubclass(result, list | tuple | wanted)
  return issubclass(result, wanted)


def describe(annotation: Any) -> str:
  """A type in a reader's words: `a list of 3 whole numbers`."""
  return _words(annotation)[0]


def _words(annotation: Any) -> tuple[str, str]:
  """A type in words, singular and plural."""
  origin, args = typing.get_origin(annotation), typing.get_args(annotation)
  kind = type(None) if annotation is None else origin or annotation
  if origin is typing.Annotated:
    return _words(args[1])
  if origin in (typing.Union, types.UnionType):
    both = [_words(one) for one in args]
    alternatives = list(dict.fromkeys(one for one, _ in both))
    many = list(dict.fromkeys(many for _, many in both))
    return ' or '.join(alternatives), ' or '.join(many)
  if origin is typing.Literal:
    text = ' or '.join(repr(one) for one in args)
    return text, text
  if kind in _WORDS:
    return _WORDS[kind]
  if kind is tuple or kind in _SEQUENCES:
    return _words_of_sequence(kind, args)
  if kind in (Mapping, collections.abc.MutableMapping, dict):
    if not args:
      return 'a mapping', 'mappings'
    inner = f'of {_words(args[0])[1]} to {_words(args[1])[1]}'
    return f'a mapping {inner}', f'mappings {inner}'
  if kind is collections.abc.Callable:
    return 'a function (@NAME)', 'functions (@NAME)'
  if kind is os.PathLike:
    return 'a path', 'paths'
  if annotation in (Any, object):
    return 'any value', 'any values'
  name = getattr(kind, '__name__', str(kind))
  return f'a configured {name} (@{name}())', f'configured {name}s'


def _words_of_sequence(kind: Any, args: tuple[Any, ...]) -> tuple[str, str]:
  if not args:
    return 'a list', 'lists'
  if kind is not tuple or args[-1] is Ellipsis:
    inner = f'of {_words(args[0])[1]}'
  elif len(set(args)) == 1:
    inner = f'of {len(args)} {_words(args[0])[1]}'
  else:
    inner = f'of {len(args)}: {", ".join(_words(one)[0] for one in args)}'
  return f'a list {inner}', f'lists {inner}'


def found(value: Any) -> str:
  """A value as messages show it, on one line."""
  text = ' '.join(repr(value).split())
  return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'


def check(binding: str, value: Any, annotation: Any) -> None:
  """Raises ConfigError unless the value of a binding matches its type."""
  if not fits(value, annotation):
    raise errors.ConfigError(
      f'{binding} is {found(value)}; expected {describe(annotation)}'
    )


@functools.cache
def field_types(config_class: type) -> Mapping[str, Any]:
  """The annotations of a dataclass' fields, by name."""
  return typing.get_type_hints(config_class, include_extras=True)


def check_fields(
  config_class: type, values: Mapping[str, Any], binding: str
) -> None:
  """Checks the values that a dataclass is about to be built with.

  Args:
    config_class: a dataclass.
    values: values by field.
    binding: name of the binding that holds them, for the message.

  Raises:
    ConfigError: there is no such field, or its value is of another type.
  """
  hints = field_types(config_class)
  for name, value in values.items():
    if name not in hints:
      hint = errors.near_names(str(name), hints)
      raise errors.ConfigError(f'{binding}: there is no setting {name!r}{hint}')
    check(f'{binding}: {name}', value, hints[name])
