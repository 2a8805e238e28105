"""Checks of settings: what passes, what is refused, and with which hint."""

import dataclasses
import math
from typing import Any

import pytest

from videopoet_jax.core import errors


@dataclasses.dataclass
class _Config:
  value: Any


def _passes(value, **bounds):
  try:
    errors.check_range(_Config(value), 'value', **bounds)
  except errors.ConfigError:
    return False
  return True


@pytest.mark.parametrize(
  ('value', 'bounds', 'passes'),
  [
    (0, {}, True),
    (-1e-9, {}, False),
    (1e30, {}, True),
    (math.inf, {}, False),
    (math.nan, {}, False),
    (None, {}, True),
    (0, {'above': True}, False),
    (1e-9, {'above': True}, True),
    (3, {'least': 3}, True),
    (2, {'least': 3}, False),
    (3, {'least': 3, 'above': True}, False),
    (1, {'most': 1}, True),
    (1.01, {'most': 1}, False),
    ((0, None, 2), {}, True),
    ([0, -1], {}, False),
    ((None, -1), {}, False),
    ((), {}, True),
  ],
)
def test_ranges(value, bounds, passes):
  assert _passes(value, **bounds) is passes


def test_a_range_is_told_with_class_field_and_value():
  with pytest.raises(errors.ConfigError) as raised:
    errors.check_range(_Config(7), 'value', least=1, most=5)
  assert str(raised.value) == (
    '_Config.value is 7; it must be at least 1 and at most 5'
  )
  with pytest.raises(errors.ConfigError) as raised:
    errors.check_range(_Config(0), 'value', above=True)
  assert str(raised.value) == '_Config.value is 0; it must be above 0'


def test_every_field_named_is_checked():
  config = dataclasses.make_dataclass('Two', ['a', 'b'])(1, -1)
  errors.check_range(config, 'a')
  with pytest.raises(errors.ConfigError, match='Two.b is -1'):
    errors.check_range(config, 'a', 'b')


def test_positive_and_not_negative():
  errors.check_positive('--n', 1)
  errors.check_not_negative('--seed', 0)
  with pytest.raises(errors.ConfigError, match='--n is 0; .* at least 1'):
    errors.check_positive('--n', 0)
  with pytest.raises(errors.ConfigError, match='--seed is -1; .* at least 0'):
    errors.check_not_negative('--seed', -1)


def test_choices():
  errors.check_choice('A.b', 'one', ('one', 'two'))
  errors.check_choice('A.b', 'two', iter(('one', 'two')))
  with pytest.raises(errors.ConfigError) as raised:
    errors.check_choice('A.b', 'tow', ('one', 'two'))
  assert str(raised.value).startswith("A.b is 'tow' (did you mean 'two'")


def test_near_names_are_the_close_ones_or_all():
  known = ['cosine', 'constant', 'wsd']
  assert errors.near_names('cosin', known) == " (did you mean 'cosine'?)"
  assert errors.near_names('zzzz', known) == ' (known: constant, cosine, wsd)'
  assert errors.near_names('zzzz', []) == ''
  # At most three, the closest first.
  many = ['abcd1', 'abcd2', 'abcd3', 'abcd']
  hint = errors.near_names('abcd', many)
  assert hint.startswith(" (did you mean 'abcd' or ") and hint.count("'") == 6


def test_what_a_user_causes_has_one_class_above():
  kinds = [
    errors.ConfigError, errors.DataError, errors.CheckpointError,
    errors.MeshError, errors.LayoutError, errors.NoExamplesError,
  ]  # fmt: skip
  assert all(issubclass(kind, errors.UserError) for kind in kinds)
  assert issubclass(errors.NoExamplesError, errors.DataError)
  assert not issubclass(errors.ConfigError, errors.DataError)
