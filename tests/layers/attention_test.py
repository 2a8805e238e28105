"""Grouped attention against a loop over heads in numpy; which is chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.layers import attention
from videopoet_jax.layers import masks
from videopoet_jax.parallel import manual


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


@pytest.mark.parametrize(
  ('platform', 'asked', 'length', 'keys', 'start', 'bias', 'chosen'),
  [
    ('cpu', 'auto', 512, 512, 0, False, 'xla'),
    ('tpu', 'auto', 512, 512, 0, False, 'splash'),
    ('gpu', 'auto', 512, 512, 0, False, 'cudnn'),
    # Too short for a block, relative positions, a step of decoding.
    ('tpu', 'auto', 64, 64, 0, False, 'xla'),
    ('tpu', 'auto', 512, 512, 0, True, 'xla'),
    ('tpu', 'splash', 1, 512, jnp.int32(7), False, 'xla'),
    ('gpu', 'cudnn', 1, 512, 7, False, 'xla'),
    ('tpu', 'xla', 512, 512, 0, False, 'xla'),
  ],
)
def test_the_platform_and_the_call_choose(
  monkeypatch, platform, asked, length, keys, start, bias, chosen
):
  monkeypatch.setattr(manual, 'platform', lambda: platform)
  query = jax.ShapeDtypeStruct((1, 2, length, 64), jnp.bfloat16)
  mask = masks.PrefixMask(2, start)
  assert attention.choose(asked, query, keys, mask, bias) == chosen


def test_a_bias_is_no_matter_for_fused_kernels():
  query = jax.ShapeDtypeStruct((1, 2, 512, 64), jnp.bfloat16)
  for name in ('splash', 'cudnn'):
    with pytest.raises(errors.ConfigError, match="'t5_buckets'.*'auto'"):
      attention.choose(name, query, 512, masks.PrefixMask(2), True)
