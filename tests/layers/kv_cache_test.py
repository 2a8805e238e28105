"""Keys and values of positions: room is made, and new ones are put in."""

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.layers import kv_cache


def _cache(length, start=0.0, dtype=np.float32):
  key = start + np.arange(2 * length * 3).reshape(1, 2, length, 3)
  return kv_cache.LayerCache(
    jnp.asarray(key, dtype), jnp.asarray(100 + key, dtype)
  )


def test_room_is_behind_and_zero():
  cache = _cache(2)
  longer = kv_cache.extend(cache, 5)
  for old, new in zip(cache, longer):
    assert new.shape == (1, 2, 5, 3)
    np.testing.assert_array_equal(new[:, :, :2], old)
    assert not np.asarray(new[:, :, 2:]).any()
  np.testing.assert_array_equal(kv_cache.extend(cache, 2).key_BKSD, cache[0])


@pytest.mark.parametrize('position', [0, 1, 3])
def test_new_ones_are_put_at_their_position(position):
  cache, new = _cache(5), _cache(2, start=1000.0)
  written = kv_cache.write(cache, new, jnp.int32(position))
  for old, update, found in zip(cache, new, written):
    wanted = np.array(old)
    wanted[:, :, position : position + 2] = update
    np.testing.assert_array_equal(found, wanted)
  assert (written.key_BKSD != written.value_BKSD).all()


def test_the_caches_type_is_kept():
  written = kv_cache.write(
    _cache(3, dtype=jnp.bfloat16), _cache(1), jnp.int32(0)
  )
  assert written.key_BKSD.dtype == jnp.bfloat16
  assert kv_cache.extend(written, 4).value_BKSD.dtype == jnp.bfloat16
