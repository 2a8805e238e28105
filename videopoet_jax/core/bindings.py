"""Checks the values that gin holds before anything is called with them.

gin binds any value to any parameter, and a wrong value raises only where it is
first used. Here every binding is compared with the annotation of the parameter
that it binds, and the configs that a call will use are built once, so that
their own checks come before data is opened or a program compiled.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
import dataclasses
import inspect
import sys
import typing
from typing import Any

import gin
import gin.config as gin_config

from videopoet_jax.core import errors
from videopoet_jax.core import value_types

_MACRO = 'gin.macro'
_CONSTANT = 'gin.constant'
# Packages whose annotations leave out the None that they take.
_LENIENT = ('t5x.', 'seqio.')
_Key = tuple[str, str]  # Scope and full name of a configurable.


def check_types() -> None:
  """Compares every binding with the annotation of its parameter.

  Raises:
    ConfigError: a value is of another type; the message names the binding, and
      the macro behind it, what was found and what was expected.
  """
  for (scope, selector), parameters in gin_config._CONFIG.items():
    configurable = gin_config._REGISTRY[selector]
    if _module(configurable.wrapped).startswith(_LENIENT):
      continue
    for parameter, value in parameters.items():
      name = _binding_name(scope, selector, parameter)
      plain = resolve(value, name)
      if selector == _MACRO:
        continue  # Checked where it is used.
      annotation = annotation_of(configurable.wrapped, parameter, name)
      if value_types.fits(plain, annotation):
        continue
      if _macro_name(value):
        found, of = _macro_name(value), f' ({name} = {value!r})'
      else:
        found, of = name, _inner_macros(value, name)
      raise errors.ConfigError(
        f'{found} is {value_types.found(plain)}; expected '
        f'{_expected(annotation)}{of}'
      )


def _module(wrapped: Any) -> str:
  """The module of a configurable, by its own name where it is run."""
  name = wrapped.__module__ or ''
  if name == '__main__':
    spec = getattr(sys.modules[name], '__spec__', None)
    name = spec.name if spec else name
  return name


def _inner_macros(value: Any, name: str) -> str:
  """The macros within a value and what they are bound to, in brackets."""
  macros = dict.fromkeys(filter(None, map(_macro_name, _references(value))))
  if not macros:
    return ''
  values = [
    f'{macro} = {value_types.found(gin_config._CONFIG[macro, _MACRO]["value"])}'
    for macro in macros
  ]
  return f' ({name} = {value!r} with {", ".join(values)})'


def _expected(annotation: Any) -> str:
  """A type in words; where functions make it, their references."""
  wanted = typing.get_args(annotation) or (annotation,)
  makers = sorted(
    configurable.name
    for configurable in dict(gin_config._REGISTRY.items()).values()
    if (result := _result(configurable.wrapped)) in wanted
    and isinstance(result, type)
    and dataclasses.is_dataclass(result)
  )
  if not makers:
    return value_types.describe(annotation)
  text = ' or '.join(f'@{name}()' for name in dict.fromkeys(makers))
  return f'{text} or None' if type(None) in wanted else text


def check_used(given: Iterable[str]) -> None:
  """Checks that macros bound on the command line are used somewhere.

  Args:
    given: bindings, `NAME = VALUE`.

  Raises:
    ConfigError: a macro of that name is used nowhere, so that it would be
      ignored.
  """
  used = {
    _macro_name(reference)
    for parameters in gin_config._CONFIG.values()
    for reference in _references(list(parameters.values()))
  } - {''}
  for binding in given:
    name = binding.partition('=')[0].strip()
    if '.' in name or name in used or not name.isidentifier():
      continue
    matches = gin_config._REGISTRY.get_all_matches(name)
    if matches:
      known = list(inspect.signature(matches[0].wrapped).parameters)
      hint = f': bind a parameter of it, such as {name}.{known[0]}'
    else:
      hint = errors.near_names(name, used)
    raise errors.ConfigError(
      f'{name} is bound by --gin.{name} and used nowhere{hint}'
    )


def build_configs(function: Callable[..., Any]) -> None:
  """Builds every config that a call of a configurable will use.

  Only dataclasses are built, not the results of other functions: no file is
  read.

  Args:
    function: a configurable.

  Raises:
    UserError: a config refuses its values.
  """
  configurable = gin_config._inverse_lookup(function)
  if configurable is not None:
    _build((), configurable, set())


def _build(scopes: tuple[str, ...], configurable: Any, seen: set[_Key]) -> None:
  key = ('/'.join(scopes), configurable.selector)
  if key in seen:
    return
  seen.add(key)
  bound = _bound(scopes, configurable.selector)
  for reference in _references(list(bound.values())):
    if reference.evaluate and reference.config_key[1] != _CONSTANT:
      inner = tuple(reference.scopes) or scopes
      _build(inner, reference.configurable, seen)
  if not dataclasses.is_dataclass(configurable.wrapped):
    return
  values = {k: resolve(v, k) for k, v in bound.items()}
  for field in dataclasses.fields(configurable.wrapped):
    value = values.get(field.name, field.default)
    if value is gin.REQUIRED or isinstance(value, value_types.Anything):
      return
    if value is dataclasses.MISSING and (
      field.default_factory is dataclasses.MISSING
    ):
      return
  try:
    with gin.config_scope(list(scopes)):
      configurable.wrapper()
  except errors.UserError as error:
    raise plain(error) from None


def plain(error: errors.UserError) -> errors.UserError:
  """An error that passed through gin, as it was raised.

  gin appends lines about calls and includes that the user did not make, and
  wraps the error in a class of its own.
  """
  kind = next(
    one for one in type(error).__mro__ if vars(errors).get(one.__name__) is one
  )
  return kind(str(error).split('\n')[0])


def _bound(scopes: tuple[str, ...], selector: str) -> dict[str, Any]:
  """The bindings in effect within some scopes."""
  found: dict[str, Any] = {}
  for depth in range(len(scopes) + 1):
    key = ('/'.join(scopes[:depth]), selector)
    found |= gin_config._CONFIG.get(key, {})
  return found


def resolve(value: Any, name: str) -> Any:
  """A bound value with macros filled in and references as stand-ins.

  Args:
    value: what gin holds.
    name: name of the binding, for messages.

  Raises:
    ConfigError: macros refer to each other in a circle.
  """
  return _resolve(value, name, ())


def _resolve(value: Any, name: str, within: tuple[str, ...]) -> Any:
  if isinstance(value, gin_config.ConfigurableReference):
    scope, selector = value.config_key
    if selector == _MACRO:
      if scope in within:
        raise errors.ConfigError(
          f'{name}: the macros {", ".join(within)} refer to each other in a '
          'circle; bind one to a value'
        )
      bound = gin_config._CONFIG.get((scope, _MACRO), {})
      if 'value' not in bound:
        return value_types.Anything()  # gin says that it is bound nowhere.
      return _resolve(bound['value'], name, (*within, scope))
    if selector == _CONSTANT:
      found = value.scoped_configurable_fn()
      return value_types.Anything() if found is gin.REQUIRED else found
    if not value.evaluate:
      return value_types.Function(repr(value))
    return value_types.Result(repr(value), _result(value.configurable.wrapped))
  if value is gin.REQUIRED:
    return value_types.Anything()
  if isinstance(value, list | tuple):
    return type(value)(_resolve(one, name, within) for one in value)
  if isinstance(value, Mapping):
    return {key: _resolve(one, name, within) for key, one in value.items()}
  return value


def annotation_of(wrapped: Any, parameter: str, name: str) -> Any:
  """The annotation of a configurable's parameter; Any where there is none.

  Args:
    wrapped: the function or class. Where it takes `**changes` for the fields
      of the dataclass that it returns, those count as its parameters.
    parameter: its parameter.
    name: name of the binding, for the message.

  Raises:
    ConfigError: there is no such field.
  """
  hints = _hints(wrapped)
  signature = inspect.signature(wrapped)
  if parameter in signature.parameters:
    return hints.get(parameter, Any)
  result = hints.get('return')
  if isinstance(result, type) and dataclasses.is_dataclass(result):
    fields = value_types.field_types(result)
    if parameter not in fields:
      known = [*signature.parameters, *fields]
      raise errors.ConfigError(
        f'{name}: there is no parameter {parameter!r}'
        f'{errors.near_names(parameter, known)}'
      )
    return fields[parameter]
  return Any


def _hints(wrapped: Any) -> Mapping[str, Any]:
  if isinstance(wrapped, type):
    if dataclasses.is_dataclass(wrapped):
      return value_types.field_types(wrapped)
    wrapped = inspect.getattr_static(wrapped, '__init__')
  try:
    return typing.get_type_hints(wrapped, include_extras=True)
  except (NameError, TypeError):  # A user's own function may have any.
    return {}


def _result(wrapped: Any) -> Any:
  if isinstance(wrapped, type):
    return wrapped
  return _hints(wrapped).get('return', Any)


def _references(value: Any) -> Iterator[gin_config.ConfigurableReference]:
  """References within a value, and within the macros that it names."""
  yield from gin_config.iterate_references({('', ''): {'': value}})


def _macro_name(value: Any) -> str:
  if not isinstance(value, gin_config.ConfigurableReference):
    return ''
  return value.config_key[0] if value.config_key[1] == _MACRO else ''


def _binding_name(scope: str, selector: str, parameter: str) -> str:
  if selector == _MACRO:
    return scope
  short = selector.rsplit('.', 1)[-1]
  return f'{scope}/{short}.{parameter}' if scope else f'{short}.{parameter}'
