"""Which values fit which annotations, and how a misfit is told."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import math
import os
import pathlib
from typing import Annotated, Any, Literal, NewType, Protocol, TypeVar

import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import value_types


class _Base:
  pass


class _Derived(_Base):
  pass


class _Reads(Protocol):
  def read(self) -> int: ...


_Id = NewType('_Id', int)
_T = TypeVar('_T')
_Pairs = Annotated[Any, Mapping[str, float]]


@pytest.mark.parametrize(
  ('annotation', 'good', 'bad'),
  [
    (int, [0, -3, 2**70], [1.0, True, '1', None]),
    (float, [0, 1.5, -2], [True, '1', math.nan, math.inf, None]),
    (bool, [True, False], [0, 1, 'True']),
    (str, ['', 'a'], [b'a', 1, None]),
    (None, [None], [0, '', False]),
    (type(None), [None], [0]),
    (Any, [None, 1, 'a', object()], []),
    (object, [None, 1], []),
    (int | None, [1, None], ['a', 1.5]),
    (Literal['a', 1], ['a', 1], ['b', 1.0, True, 2]),
    (tuple, [(), [1, 'a']], ['ab', 1, {1}]),
    (tuple[int, ...], [(), [1, 2]], [(1, 'a'), '12', 1]),
    (tuple[int, str], [(1, 'a'), [1, 'a']], [(1,), (1, 'a', 2), ('a', 1)]),
    (list[int], [[], (1,)], ['1', [1.5]]),
    (Sequence[str], [['a'], ()], ['a', [1]]),
    (Iterable, [[1, 'a']], ['a', 1]),
    (Mapping[str, int], [{}, {'a': 1}], [{'a': 'b'}, {1: 1}, [('a', 1)]]),
    (dict, [{}, {1: 'a'}], [[], 1]),
    (Callable[[int], int], [len, lambda: 0], [1, 'len']),
    (os.PathLike, ['a', pathlib.Path('a')], [1, b'a']),
    (_Base, [_Base(), _Derived()], [1, None, _Base]),
    (_Reads, [_Base()], [1, 'a', [], {}, None]),
    (_Id, [1, 'a'], []),
    (_T, [1, 'a'], []),
    (_Pairs, [{'a': 1}, {}], [{'a': 'b'}, 3]),
  ],
)
def test_fits(annotation, good, bad):
  anything = value_types.Anything()
  for value in (*good, anything):
    assert value_types.fits(value, annotation), value
  for value in bad:
    assert not value_types.fits(value, annotation), value


@pytest.mark.parametrize(
  ('returned', 'annotation', 'fits'),
  [
    (_Derived, _Base, True),
    (_Base, _Derived, False),
    (int, float, True),
    (bool, float, False),
    (str, float, False),
    (int | None, int, True),
    (str | None, int, False),
    (list[int], tuple[int, ...], True),
    (list[int], Sequence[int], True),
    (str, tuple[int, ...], False),
    (_Base, _Reads, True),
    (int, _Reads, False),
    (_T, int, True),
    (_Base, _Base | None, True),
    (_Base, Any, True),
  ],
)
def test_what_a_function_may_return(returned, annotation, fits):
  result = value_types.Result('@f()', returned)
  assert value_types.fits(result, annotation) is fits
  assert value_types.fits([result], tuple[annotation, ...]) is fits


def test_a_function_handed_on_counts_as_callable_and_as_no_class():
  function = value_types.Function('@f')
  assert value_types.fits(function, Callable[..., Any])
  assert not value_types.fits(function, _Base)
  assert not value_types.fits(function, int)
  assert repr(function) == '@f'
  assert repr(value_types.Result('@f()', int)) == '@f()'


@pytest.mark.parametrize(
  ('annotation', 'words'),
  [
    (int, 'a whole number'),
    (float | None, 'a number or None'),
    (bool, 'True or False'),
    (Literal['a', 2], "'a' or 2"),
    (tuple, 'a list'),
    (tuple[int, ...], 'a list of whole numbers'),
    (tuple[int, int, int], 'a list of 3 whole numbers'),
    (tuple[int, str], 'a list of 2: a whole number, a string'),
    (Sequence[tuple[str, ...]], 'a list of lists of strings'),
    (Mapping[str, float], 'a mapping of strings to numbers'),
    (dict, 'a mapping'),
    (Callable[[], int], 'a function (@NAME)'),
    (str | os.PathLike, 'a string or a path'),
    (Any, 'any value'),
    (_Base, 'a configured _Base (@_Base())'),
    (tuple[_Base, ...], 'a list of configured _Bases'),
    (_Pairs, 'a mapping of strings to numbers'),
    (int | int | None, 'a whole number or None'),
  ],
)
def test_describe(annotation, words):
  assert value_types.describe(annotation) == words


def test_a_value_is_shown_on_one_short_line():
  assert value_types.found('a\n  b') == "'a\\n b'"
  assert value_types.found([1, 2]) == '[1, 2]'
  exact = 'x' * 58  # With its quotation marks, 60 letters.
  assert value_types.found(exact) == repr(exact)
  longer = value_types.found('x' * 59)
  assert len(longer) == 60 and longer == "'" + 'x' * 56 + '...'


def test_check_names_the_binding_the_value_and_what_is_expected():
  value_types.check('A.b', 3, int)
  with pytest.raises(errors.ConfigError) as raised:
    value_types.check('A.b', '3', int)
  assert str(raised.value) == "A.b is '3'; expected a whole number"


@dataclasses.dataclass
class _Config:
  size: int = 1
  names: tuple[str, ...] = ()


def test_fields_of_a_dataclass():
  value_types.check_fields(_Config, {'size': 2, 'names': ['a']}, 'section')
  with pytest.raises(errors.ConfigError, match="section: .*'sise'.*'size'"):
    value_types.check_fields(_Config, {'sise': 2}, 'section')
  with pytest.raises(errors.ConfigError, match='section: names is 1; expected'):
    value_types.check_fields(_Config, {'names': 1}, 'section')
  assert value_types.field_types(_Config)['size'] is int
