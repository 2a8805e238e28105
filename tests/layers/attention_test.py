"""Grouped attention against a loop over heads in numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.layers import attention
from videopoet_jax.layers import masks


def test_equals_a_loop_over_heads():
  generator = np.random.default_rng(0)
  batch, heads, kv_heads, length, dim = 2, 4, 2, 5, 3
  query = generator.normal(size=(batch, heads, length, dim))
  key, value = generator.normal(size=(2, batch, kv_heads, length, dim))
  bias = generator.normal(size=(heads, length, length))
  visible = np.ones((batch, length), bool)
  visible[0, 1] = False
  mask = masks.PrefixMask(2)
  out = attention.attend(
    *map(jnp.asarray, (query, key, value)),
    mask,
    jnp.asarray(visible),
    jnp.asarray(bias),
  )
  dense = np.asarray(mask.dense(length, length))
  for b in range(batch):
    for n in range(heads):
      logits = query[b, n] @ key[b, n // 2].T / np.sqrt(dim) + bias[n]
      logits = np.where(dense & visible[b], logits, -np.inf)
      weights = np.exp(logits - logits.max(-1, keepdims=True))
      weights /= weights.sum(-1, keepdims=True)
      np.testing.assert_allclose(
        out[b, n], weights @ value[b, n // 2], atol=1e-5
      )


def test_unknown_implementations_are_refused():
  nothing = jnp.zeros((1, 1, 1, 1))
  visible = jnp.ones((1, 1), bool)
  with pytest.raises(errors.ConfigError, match="no attention 'xlaa'"):
    attention.attend(
      nothing,
      nothing,
      nothing,
      masks.BIDIRECTIONAL,
      visible,
      implementation='xlaa',
    )
