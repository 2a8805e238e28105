"""Attention by cuDNN's fused kernel for GPUs.

cuDNN supports causal masks, windows and lengths, but no prefix that every query
sees. The mask is therefore passed as an array, which the kernel adds to its
logits: (B, 1, L, L) of the compute dtype, two bytes an element. No block is
skipped, but the logits of all heads are never held. The kernel takes half
precision and head dimensions that are multiples of 8, up to 128 (256 from
Hopper on).
"""

from typing import Literal

import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.layers import masks
from videopoet_jax.parallel import manual

_DTYPES = (jnp.bfloat16, jnp.float16)


def why_not(query_BNLD: jax.Array) -> str:
  """The reason why cuDNN would refuse and the setting to change, or ''."""
  head_dim = query_BNLD.shape[-1]
  if manual.platform() != 'gpu':
    return (
      f'a kernel for GPUs, and the devices are of the platform '
      f"{manual.platform()!r}; set it to 'auto'"
    )
  if query_BNLD.dtype not in _DTYPES:
    return (
      f'which computes in half precision, and PrefixLMConfig.dtype is '
      f"{query_BNLD.dtype.name!r}; set that to 'bfloat16', or attention to "
      "'xla'"
    )
  if head_dim % 8 or head_dim > 256:
    return (
      f'which takes heads of a multiple of 8 up to 128 or 256, and '
      f'PrefixLMConfig.head_dim is {head_dim}; change that, or set attention '
      "to 'xla'"
    )
  return ''


def attend(
  query_BNLD: jax.Array,
  key_BKSD: jax.Array,
  value_BKSD: jax.Array,
  mask: masks.PrefixMask,
  visible_BS: jax.Array,
  *,
  implementation: Literal['cudnn', 'xla'] = 'cudnn',
) -> jax.Array:
  """Softmax attention of a whole sequence to itself.

  Args:
    query_BNLD: (B, query heads, L, head_dim), not yet scaled.
    key_BKSD: (B, key heads, L, head_dim); key heads divide query heads.
    value_BKSD: values, with the shape of the keys.
    mask: mask that starts at position 0.
    visible_BS: bool (B, L), False for keys that are hidden from all.
    implementation: implementation of `jax.nn.dot_product_attention`: 'cudnn',
      or 'xla' to run the same on any device.

  Returns:
    (B, query heads, L, head_dim).

  Raises:
    ConfigError: cuDNN cannot do it here.
  """
  if implementation == 'cudnn' and (reason := why_not(query_BNLD)):
    raise errors.ConfigError(f"PrefixLMConfig.attention is 'cudnn', {reason}.")
  num_heads, length = query_BNLD.shape[1:3]
  num_kv_heads = key_BKSD.shape[1]
  if num_kv_heads % manual.parts('activation_heads'):
    key_BKSD, value_BKSD = (
      jnp.repeat(x, num_heads // num_kv_heads, axis=1)
      for x in (key_BKSD, value_BKSD)
    )
  # With a mask, cuDNN's backward pass requires an even length.
  odd = length % 2

  def pad(array_BNLD: jax.Array) -> jax.Array:
    return jnp.pad(array_BNLD, ((0, 0), (0, 0), (0, odd), (0, 0)))

  query_BNLD, key_BKSD, value_BKSD = map(
    pad, (query_BNLD, key_BKSD, value_BKSD)
  )
  seen_B1LS = masks.attention_mask(
    mask, length + odd, jnp.pad(visible_BS, ((0, 0), (0, odd)))
  )
  batch, heads = 'activation_batch', 'activation_heads'
  query_spec = manual.spec(
    (batch, heads, 'activation_length', None), query_BNLD.shape
  )
  key_spec = manual.spec((batch, heads, None, None), key_BKSD.shape)
  seen_spec = manual.spec(
    (batch, None, 'activation_length', None), seen_B1LS.shape
  )

  def local(
    query_BNLD: jax.Array,
    key_BKSD: jax.Array,
    value_BKSD: jax.Array,
    seen_B1LS: jax.Array,
  ) -> jax.Array:
    query_BLND, key_BSKD, value_BSKD = (
      jnp.swapaxes(x, 1, 2) for x in (query_BNLD, key_BKSD, value_BKSD)
    )
    out_BLND = jax.nn.dot_product_attention(
      query_BLND,
      key_BSKD,
      value_BSKD,
      mask=seen_B1LS,
      implementation=implementation,
    )
    return jnp.swapaxes(out_BLND, 1, 2)

  out_BNLD = manual.on_each_device(
    local, (query_spec, key_spec, key_spec, seen_spec), query_spec
  )(query_BNLD, key_BKSD, value_BKSD, seen_B1LS)
  return out_BNLD[:, :, :length]
