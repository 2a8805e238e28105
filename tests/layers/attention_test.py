"""Grouped attention against a loop over heads in numpy; which is chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.layers import attention
from videopoet_jax.layers import kv_cache
from videopoet_jax.layers import masks
from videopoet_jax.layers import splash
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
    # The shortest sequence that fills a block.
    ('tpu', 'auto', 128, 128, 0, False, 'splash'),
    ('tpu', 'auto', 127, 127, 0, False, 'xla'),
    # Queries that are as many as the keys and do not begin with them.
    ('tpu', 'splash', 512, 512, 1, False, 'xla'),
    ('tpu', 'splash', 512, 512, jnp.int32(0), False, 'xla'),
    ('tpu', 'splash', 512, 512, 0, False, 'splash'),
    ('gpu', 'cudnn', 512, 512, 0, False, 'cudnn'),
    ('gpu', 'auto', 512, 512, 0, True, 'xla'),
    ('gpu', 'xla', 512, 512, 0, True, 'xla'),
  ],
)
def test_the_platform_and_the_call_choose(
  monkeypatch, platform, asked, length, keys, start, bias, chosen
):
  monkeypatch.setattr(manual, 'platform', lambda: platform)
  query = jax.ShapeDtypeStruct((1, 2, length, 64), jnp.bfloat16)
  mask = masks.PrefixMask(2, start)
  assert attention.choose(asked, query, keys, mask, bias) == chosen


def test_a_gpu_that_cannot_takes_the_reference(monkeypatch):
  monkeypatch.setattr(manual, 'platform', lambda: 'gpu')
  whole = jax.ShapeDtypeStruct((1, 2, 512, 64), jnp.float32)
  assert attention.choose('auto', whole, 512, masks.PrefixMask(2), False) == (
    'xla'
  )


def test_a_bias_is_no_matter_for_fused_kernels():
  query = jax.ShapeDtypeStruct((1, 2, 512, 64), jnp.bfloat16)
  for name in ('splash', 'cudnn'):
    with pytest.raises(errors.ConfigError, match="'t5_buckets'.*'auto'"):
      attention.choose(name, query, 512, masks.PrefixMask(2), True)


def _softmax(logits):
  weights = np.exp(logits - logits.max(-1, keepdims=True))
  return weights / weights.sum(-1, keepdims=True)


def test_where_nothing_is_hidden_every_query_sees_every_key():
  query, key, value = np.random.default_rng(0).normal(size=(3, 2, 1, 4, 3))
  out = attention.attend(
    *map(jnp.asarray, (query, key, value)), masks.PrefixMask(1), None
  )
  weights = _softmax(query @ np.swapaxes(key, 2, 3) / np.sqrt(3))
  np.testing.assert_allclose(out, weights @ value, atol=1e-5)


@pytest.mark.parametrize('name', ['splash', 'cudnn'])
@pytest.mark.parametrize('hidden', [None, 1])
def test_fused_kernels_get_the_mask_and_what_is_visible(
  monkeypatch, name, hidden
):
  calls = []

  def kernel(query, key, value, mask, visible):
    calls.append((mask, np.asarray(visible)))
    return query + key + value

  monkeypatch.setattr(splash, 'attend', kernel)
  monkeypatch.setitem(attention.FUSED, 'cudnn', kernel)
  arrays = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 1, 4, 3)))
  visible = np.ones((2, 4), bool)
  if hidden is not None:
    visible[0, hidden] = False
  out = attention.attend(
    *arrays,
    masks.PrefixMask(2),
    None if hidden is None else jnp.asarray(visible),
    implementation=name,
  )
  np.testing.assert_allclose(out, arrays.sum(0))
  ((mask, seen),) = calls
  assert mask == (
    masks.BIDIRECTIONAL if hidden is None else masks.PrefixMask(2)
  )
  np.testing.assert_array_equal(seen, visible)


def _turned(heads, angles):
  """Dimensions i and i + 2 of each head as a plane, in numpy."""
  first, second = heads[..., :2], heads[..., 2:]
  cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
  return np.concatenate(
    [first * cosine - second * sine, second * cosine + first * sine], -1
  )


def _normal(heads, scale):
  return heads / np.sqrt((heads**2).mean(-1, keepdims=True) + 1e-6) * scale


@pytest.mark.parametrize('qk_norm', [False, True])
@pytest.mark.parametrize('rotary', [False, True])
def test_the_module_is_projections_around_attention(qk_norm, rotary):
  generator = np.random.default_rng(0)
  batch, length, width, heads, kv_heads, dim = 2, 5, 6, 4, 2, 4
  inputs = generator.normal(size=(batch, length, width)).astype(np.float32)
  angles = generator.normal(size=(length, dim // 2)).astype(np.float32)
  bias = generator.normal(size=(heads, length, length)).astype(np.float32)
  visible = np.ones((batch, length), bool)
  visible[1, 1] = False
  mask = masks.PrefixMask(2)
  module = attention.Attention(heads, kv_heads, dim, qk_norm=qk_norm)
  params = {
    'query': generator.normal(size=(width, heads, dim)),
    'key': generator.normal(size=(width, kv_heads, dim)),
    'value': generator.normal(size=(width, kv_heads, dim)),
    'out': generator.normal(size=(heads, dim, width)),
  }
  if qk_norm:
    for name in ('query_norm', 'key_norm'):
      params[name] = {'scale': generator.normal(size=(dim,))}
  params = jax.tree.map(lambda x: x.astype(np.float32), params)
  context = attention.Context(
    mask, jnp.asarray(visible), angles if rotary else None, bias
  )
  out, kept = module.apply({'params': params}, inputs, context)

  query = np.einsum('bld,dnh->blnh', inputs, params['query'])
  key = np.einsum('bld,dnh->blnh', inputs, params['key'])
  value = np.einsum('bld,dnh->blnh', inputs, params['value'])
  if qk_norm:
    query = _normal(query, params['query_norm']['scale'])
    key = _normal(key, params['key_norm']['scale'])
  if rotary:
    query, key = _turned(query, angles), _turned(key, angles)
  seen = np.asarray(mask.dense(length, length)) & visible[:, None]
  expected = np.zeros((batch, length, width))
  for n in range(heads):
    logits = query[:, :, n] @ np.swapaxes(key[:, :, n // 2], 1, 2) / 2 + bias[n]
    weights = _softmax(np.where(seen, logits, -np.inf))
    expected += weights @ value[:, :, n // 2] @ params['out'][n]
  np.testing.assert_allclose(out, expected, atol=1e-4)
  np.testing.assert_allclose(kept.key_BKSD, np.swapaxes(key, 1, 2), atol=1e-5)
  np.testing.assert_allclose(
    kept.value_BKSD, np.swapaxes(value, 1, 2), atol=1e-5
  )

  # A later position alone, from a cache of the earlier ones.
  cache = kv_cache.LayerCache(*(array.at[:, :, 3:].set(7.0) for array in kept))
  step = attention.Context(
    masks.PrefixMask(2, 3),
    jnp.asarray(visible),
    angles[3:] if rotary else None,
    bias[:, 3:],
  )
  last, written = module.apply({'params': params}, inputs[:, 3:], step, cache)
  np.testing.assert_allclose(last, out[:, 3:], atol=1e-5)
  np.testing.assert_allclose(written.key_BKSD, kept.key_BKSD, atol=1e-6)


def test_kernels_say_what_their_axes_are_and_how_large_they_begin():
  inputs = jnp.zeros((1, 2, 64))
  context = attention.Context(masks.PrefixMask(1), jnp.ones((1, 2), bool))

  def made(**fields):
    module = attention.Attention(8, 4, 16, **fields)
    return module.init(jax.random.key(0), inputs, context)['params']

  params = made()
  assert {
    name: box.names for name, box in params.items() if name[-1] != 'm'
  } == {
    'query': ('embed', 'heads', 'head_dim'),
    'key': ('embed', 'kv_heads', 'head_dim'),
    'value': ('embed', 'kv_heads', 'head_dim'),
    'out': ('heads', 'head_dim', 'embed'),
  }
  # Queries and keys are normalized unless it is turned off.
  assert params['query_norm']['scale'].names == ('head_dim',)
  assert set(made(qk_norm=False)) == {'query', 'key', 'value', 'out'}
  # Variances of one over the inputs: 64, and 8 heads of 16.
  for name, inputs_of_it in (('query', 64), ('key', 64), ('out', 128)):
    variance = float(jnp.var(params[name].value)) * inputs_of_it
    assert variance == pytest.approx(1.0, abs=0.1)
  out = made(output_scale=0.25)['out'].value
  assert float(jnp.var(out)) * 128 == pytest.approx(0.25, abs=0.025)
