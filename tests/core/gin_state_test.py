"""Parsing for a run leaves the caller's gin configuration as it was."""

import gin
import pytest

from videopoet_jax.core import config
from videopoet_jax.core import gin_state


@gin.configurable('gin_state_test_thing')
def _thing(value=0):
  return value


@pytest.mark.parametrize('locked', [False, True])
def test_the_callers_bindings_survive(clean_registries, locked):
  gin.parse_config(
    'OURS = 7\ngin_state_test_thing.value = %OURS\n'
    'a/gin_state_test_thing.value = 8'
  )
  if locked:
    gin.finalize()
  before = gin.config_str()
  with gin_state.isolated():
    config.parse([], ['gin_state_test_thing.value = 3'])
    assert _thing() == 3
    with gin.config_scope('a'):
      assert _thing() == 3
  assert gin.config_str() == before
  assert _thing() == 7
  assert gin.config.config_is_locked() == locked
  with gin.config_scope('a'):
    assert _thing() == 8
  assert '_thing' in gin.operative_config_str()


def test_an_error_inside_puts_it_back_too(clean_registries):
  gin.parse_config('gin_state_test_thing.value = 5')
  with pytest.raises(RuntimeError, match='broken'), gin_state.isolated():
    gin.clear_config()
    raise RuntimeError('broken')
  assert _thing() == 5
