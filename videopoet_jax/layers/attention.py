"""Attention: one function that computes it, one module with its projections.

Three implementations give the same numbers: the reference here, which XLA
compiles anywhere; Splash for TPUs; cuDNN's for GPUs. docs/attention.md
describes the choice.
"""

from collections.abc import Callable
import math
from typing import Any, NamedTuple

from flax import linen as nn
import jax
from jax import ad_checkpoint
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.core import kernel_blocks
from videopoet_jax.layers import fused_gpu
from videopoet_jax.layers import kv_cache
from videopoet_jax.layers import linear
from videopoet_jax.layers import masks
from videopoet_jax.layers import norms
from videopoet_jax.layers import partitioning
from videopoet_jax.layers import positions
from videopoet_jax.layers import splash
from videopoet_jax.parallel import manual

_MASKED = -1e30  # finite, so that a row of it is uniform and not NaN.


def _xla(
  query_BNLD: jax.Array,
  key_BKSD: jax.Array,
  value_BKSD: jax.Array,
  mask: masks.PrefixMask,
  visible_BS: jax.Array | None,
  bias_NLS: jax.Array | None,
) -> jax.Array:
  batch, num_heads, length, head_dim = query_BNLD.shape
  num_kv_heads, num_keys = key_BKSD.shape[1:3]
  group = num_heads // num_kv_heads
  query_BKMD = query_BNLD.reshape(batch, num_kv_heads, group * length, head_dim)
  logits_BKMS = jnp.einsum(
    'bkmd,bksd->bkms',
    query_BKMD * (1.0 / math.sqrt(head_dim)),
    key_BKSD,
    preferred_element_type=jnp.promote_types(query_BNLD.dtype, jnp.float32),
  )
  logits_BNLS = logits_BKMS.reshape(batch, num_heads, length, num_keys)
  if bias_NLS is not None:
    logits_BNLS += bias_NLS[None]
  if visible_BS is not None:
    seen_B1LS = masks.attention_mask(mask, length, visible_BS)
    logits_BNLS = jnp.where(seen_B1LS, logits_BNLS, _MASKED)
  weights_BNLS = jax.nn.softmax(logits_BNLS, axis=-1).astype(value_BKSD.dtype)
  out_BKMD = jnp.einsum(
    'bkms,bksd->bkmd',
    weights_BNLS.reshape(batch, num_kv_heads, group * length, num_keys),
    value_BKSD,
  )
  return out_BKMD.reshape(query_BNLD.shape)


# Fused kernels; they compute self-attention of a whole sequence without bias.
FUSED: dict[str, Callable[..., jax.Array]] = {
  'splash': splash.attend,
  'cudnn': fused_gpu.attend,
}
IMPLEMENTATIONS = ('auto', 'xla', *FUSED)


def choose(
  implementation: str,
  query_BNLD: jax.Array,
  num_keys: int,
  mask: masks.PrefixMask,
  has_bias: bool,
) -> str:
  """Returns the implementation that computes a call of `attend`.

  Args:
    implementation: one of `IMPLEMENTATIONS`. 'auto' is Splash on TPUs and
      cuDNN on GPUs where they can do it, else the reference.
    query_BNLD: (B, query heads, L, head_dim).
    num_keys: S.
    mask: which keys a query may see.
    has_bias: whether something is added to the logits.

  Returns:
    'xla', 'splash' or 'cudnn'. A decoding step, whose queries are not the whole
    sequence, always uses the reference: it reads each key once, and there is
    nothing to fuse.

  Raises:
    ConfigError: the implementation is not known, or takes no bias.
  """
  if implementation not in IMPLEMENTATIONS:
    hint = errors.near_names(implementation, IMPLEMENTATIONS)
    raise errors.ConfigError(f'no attention {implementation!r}{hint}.')
  length = query_BNLD.shape[2]
  starts_at_0 = isinstance(mask.query_start, int) and mask.query_start == 0
  if length != num_keys or not starts_at_0:
    return 'xla'
  if implementation == 'auto':
    if has_bias or length < kernel_blocks.SHORTEST:
      return 'xla'
    if manual.platform() == 'tpu':
      return 'splash'
    if manual.platform() == 'gpu' and not fused_gpu.why_not(query_BNLD):
      return 'cudnn'
    return 'xla'
  if has_bias and implementation in FUSED:
    raise errors.ConfigError(
      f'PrefixLMConfig.attention is {implementation!r}, which adds no bias to '
      "the logits, and positions are 't5_buckets' or the like, which are one; "
      "set attention to 'auto' or 'xla', or positions to 'rotary' or "
      "'learned_3d'."
    )
  return implementation


def attend(
  query_BNLD: jax.Array,
  key_BKSD: jax.Array,
  value_BKSD: jax.Array,
  mask: masks.PrefixMask,
  visible_BS: jax.Array | None,
  bias_NLS: jax.Array | None = None,
  implementation: str = 'auto',
) -> jax.Array:
  """Softmax attention under a prefix mask.

  Args:
    query_BNLD: (B, query heads, L, head_dim), not yet scaled.
    key_BKSD: (B, key heads, S, head_dim); query heads are a multiple of key
      heads, and the n-th serves queries n * N / K and after.
    value_BKSD: values, with the shape of the keys.
    mask: which keys a query may see.
    visible_BS: bool (B, S), False for keys that are hidden from all. Every
      query must see at least one key. None where every query sees every
      key, whatever the mask.
    bias_NLS: added to the logits, if given.
    implementation: see `choose`.

  Returns:
    (B, query heads, L, head_dim).

  Raises:
    ConfigError: the implementation is not known or cannot do it here.
  """
  if visible_BS is None:
    mask = masks.BIDIRECTIONAL
  chosen = choose(
    implementation, query_BNLD, key_BKSD.shape[2], mask, bias_NLS is not None
  )
  if chosen == 'xla':
    out_BNLD = _xla(
      query_BNLD, key_BKSD, value_BKSD, mask, visible_BS, bias_NLS
    )
  else:
    if visible_BS is None:
      visible_BS = jnp.ones((key_BKSD.shape[0], key_BKSD.shape[2]), bool)
    if chosen == 'splash':
      # It names what a backward pass may keep itself, the denominators too.
      return splash.attend(query_BNLD, key_BKSD, value_BKSD, mask, visible_BS)
    out_BNLD = FUSED[chosen](query_BNLD, key_BKSD, value_BKSD, mask, visible_BS)
  return ad_checkpoint.checkpoint_name(out_BNLD, partitioning.Kept.ATTENTION)


class Context(NamedTuple):
  """Inputs that every layer's attention shares.

  Attributes:
    mask: mask of the layout, from the first query's position on.
    visible_BS: bool (B, S), True for keys that may be seen.
    angles_LP: rotary angles of the queries, or None.
    bias_NLS: relative bias, or None.
  """

  mask: masks.PrefixMask
  visible_BS: jax.Array
  angles_LP: jax.Array | None = None
  bias_NLS: jax.Array | None = None


def project_heads(
  module: nn.Module,
  name: str,
  inputs_BLD: jax.Array,
  num_heads: int,
  head_dim: int,
  *,
  axis: str = 'heads',
  dtype: Any = jnp.float32,
  param_dtype: Any = jnp.float32,
) -> jax.Array:
  """Maps inputs to queries, keys or values by a kernel that it declares.

  Args:
    module: module that owns the kernel.
    name: name of the kernel.
    inputs_BLD: (B, L, D).
    num_heads: N.
    head_dim: dimensions a head.
    axis: logical name of the kernel's axis of heads.
    dtype: dtype of the result.
    param_dtype: dtype that the kernel is stored in.

  Returns:
    (B, N, L, head_dim).
  """
  kernel = partitioning.param(
    module,
    name,
    partitioning.fan_in_init((0,), (1, 2)),
    (inputs_BLD.shape[-1], num_heads, head_dim),
    ('embed', axis, 'head_dim'),
    param_dtype,
  )
  flat_DM = kernel.astype(dtype).reshape(kernel.shape[0], -1)
  heads_BLM = ad_checkpoint.checkpoint_name(
    linear.project(inputs_BLD, flat_DM), partitioning.Kept.QKV
  )
  heads_BLNH = heads_BLM.reshape(*inputs_BLD.shape[:2], *kernel.shape[1:])
  return partitioning.constrain(
    jnp.swapaxes(heads_BLNH, 1, 2),
    ('activation_batch', 'activation_heads', 'activation_length', None),
  )


def project_out(
  module: nn.Module,
  heads_BNLH: jax.Array,
  width: int,
  *,
  output_scale: float = 1.0,
  dtype: Any = jnp.float32,
  param_dtype: Any = jnp.float32,
) -> jax.Array:
  """Maps heads back to the width by a kernel `out` that it declares.

  Args:
    module: module that owns the kernel.
    heads_BNLH: (B, N, L, head_dim).
    width: D.
    output_scale: variance of the initial output where the input's is one.
    dtype: dtype of the result.
    param_dtype: dtype that the kernel is stored in.

  Returns:
    (B, L, D).
  """
  batch, num_heads, length, head_dim = heads_BNLH.shape
  kernel = partitioning.param(
    module,
    'out',
    partitioning.fan_in_init((0, 1), (2,), output_scale),
    (num_heads, head_dim, width),
    ('heads', 'head_dim', 'embed'),
    param_dtype,
  )
  flat_MD = kernel.astype(dtype).reshape(-1, width)
  heads_BLM = jnp.swapaxes(heads_BNLH, 1, 2).reshape(batch, length, -1)
  return ad_checkpoint.checkpoint_name(
    linear.project(heads_BLM, flat_MD), partitioning.Kept.OUT
  )


class Attention(nn.Module):
  """Multi-head attention, grouped if there are fewer key heads than heads.

  Attributes:
    num_heads: query heads.
    num_kv_heads: key and value heads; divides `num_heads`.
    head_dim: dimensions a head.
    qk_norm: whether queries and keys are RMS-normalized (arXiv 2302.05442).
    implementation: see `choose`.
    dtype: dtype of the computation.
    param_dtype: dtype that kernels are stored in.
    output_scale: variance of the initial output where the input's is one.
  """

  num_heads: int
  num_kv_heads: int
  head_dim: int
  qk_norm: bool = True
  implementation: str = 'auto'
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32
  output_scale: float = 1.0

  @nn.compact
  def __call__(
    self,
    inputs_BLD: jax.Array,
    context: Context,
    cache: kv_cache.LayerCache | None = None,
  ) -> tuple[jax.Array, kv_cache.LayerCache]:
    """Attends within the inputs, or from the inputs to a cache.

    Args:
      inputs_BLD: (B, L, D).
      context: see `Context`.
      cache: keys and values of earlier positions with room for these.

    Returns:
      (B, L, D), and the cache with these positions written, or just these
      positions' keys and values where no cache was given.
    """
    types = {'dtype': self.dtype, 'param_dtype': self.param_dtype}

    def project(name: str, num_heads: int, axis: str) -> jax.Array:
      return project_heads(
        self, name, inputs_BLD, num_heads, self.head_dim, axis=axis, **types
      )

    query = project('query', self.num_heads, 'heads')
    key = project('key', self.num_kv_heads, 'kv_heads')
    value = project('value', self.num_kv_heads, 'kv_heads')
    if self.qk_norm:
      norm = {**types, 'axis_name': 'head_dim'}
      query = norms.RMSNorm(name='query_norm', **norm)(query)
      key = norms.RMSNorm(name='key_norm', **norm)(key)
    if context.angles_LP is not None:
      query = positions.rotate(query, context.angles_LP)
      key = positions.rotate(key, context.angles_LP)
    kept = kv_cache.LayerCache(key, value)
    if cache is not None:
      kept = kv_cache.write(cache, kept, context.mask.query_start)
    heads_BNLH = attend(
      query,
      kept.key_BKSD,
      kept.value_BKSD,
      context.mask,
      context.visible_BS,
      context.bias_NLS,
      self.implementation,
    )
    out_BLD = project_out(
      self,
      heads_BNLH,
      inputs_BLD.shape[-1],
      output_scale=self.output_scale,
      **types,
    )
    return out_BLD, kept
