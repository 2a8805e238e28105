"""Attention by JAX's Splash kernel for TPUs, with the prefix mask.

The kernel walks over blocks of queries and keys; fully masked blocks are never
read. The mask is computed inside the kernel from positions. What varies between
examples (hidden slots, the padding up to whole blocks) is passed as segment
ids: every query has segment 1, hidden keys have 0. On a CPU the kernel is
interpreted, which is slow and meant for tests.
"""

from collections.abc import Callable
import functools
import math
from typing import Any

import jax
from jax.experimental.pallas.ops.tpu import splash_attention
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import kernel_blocks
from videopoet_jax.layers import masks
from videopoet_jax.layers import partitioning
from videopoet_jax.parallel import manual


class _Mask(splash_attention.splash_attention_mask.Mask):
  """A prefix mask in the kernel's terms: a shape and a function of positions.

  Attributes:
    q_sequence: positions of the queries; the kernel reads this name.
    mask_function: whether a query may see a key; the kernel reads this name.
  """

  def __init__(
    self, num_queries: int, num_keys: int, prefix_length: int
  ) -> None:
    self._shape = (num_queries, num_keys)
    self._prefix_length = prefix_length
    self.q_sequence = np.arange(num_queries, dtype=np.int32)
    self.mask_function = _seen(prefix_length)

  @property
  def shape(self) -> tuple[int, ...]:
    return self._shape

  def __getitem__(self, index: Any) -> np.ndarray:
    rows, columns = index
    keys = np.arange(self._shape[1], dtype=np.int32)
    return self.mask_function(
      self.q_sequence[rows][:, None], keys[columns][None, :]
    )

  def __eq__(self, other: object) -> bool:
    return isinstance(other, _Mask) and hash(self) == hash(other)

  def __hash__(self) -> int:
    return hash((type(self), self._shape, self._prefix_length))


@functools.cache
def _seen(prefix_length: int) -> Callable[[Any, Any], Any]:
  """Returns one function object a prefix: the kernel's cache uses it as key."""

  def seen(query: Any, key: Any) -> Any:
    return (key <= query) | (key < prefix_length)

  return seen


def _kernel(
  num_heads: int,
  padded: tuple[int, int],
  prefix_length: int,
  blocks: kernel_blocks.Blocks,
  sequence_parts: int,
  interpret: bool,
) -> Any:
  """Returns the kernel of one device's heads."""
  mask = splash_attention.MultiHeadMask(
    [_Mask(*padded, prefix_length)] * num_heads
  )
  return splash_attention.make_splash_mha(
    mask,
    block_sizes=splash_attention.BlockSizes(
      block_q=blocks.queries,
      block_kv=blocks.keys,
      block_kv_compute=blocks.computed_keys,
      block_q_dkv=blocks.queries,
      block_kv_dkv=blocks.keys,
      block_kv_dkv_compute=blocks.computed_keys,
      block_q_dq=blocks.queries,
      block_kv_dq=blocks.keys,
    ),
    head_shards=1,
    q_seq_shards=sequence_parts,
    residual_checkpoint_name=partitioning.Kept.ATTENTION,
    interpret=interpret,
  )


def attend(
  query_BNLD: jax.Array,
  key_BKSD: jax.Array,
  value_BKSD: jax.Array,
  mask: masks.PrefixMask,
  visible_BS: jax.Array,
  *,
  blocks: kernel_blocks.Blocks | None = None,
) -> jax.Array:
  """Softmax attention of a whole sequence to itself.

  On a mesh each device computes its examples, heads and, with a `sequence`
  axis, its queries against all keys.

  Args:
    query_BNLD: (B, query heads, L, head_dim), not yet scaled.
    key_BKSD: (B, key heads, L, head_dim); key heads divide query heads.
    value_BKSD: values, with the shape of the keys.
    mask: mask that starts at position 0.
    visible_BS: bool (B, L), False for keys that are hidden from all. Every
      query must see a key; the first position of a layout always is one.
    blocks: block sizes; those of `kernel_blocks.choose` unless given.

  Returns:
    (B, query heads, L, head_dim).

  Raises:
    ConfigError: the code will not run on a TPU or, interpreted, on a CPU.
  """
  platform = manual.platform()
  if platform not in ('tpu', 'cpu'):
    raise errors.ConfigError(
      f"PrefixLMConfig.attention is 'splash', a kernel for TPUs, and the "
      f"devices are of the platform {platform!r}; set it to 'auto'."
    )
  num_heads, length, head_dim = query_BNLD.shape[1:]
  num_kv_heads = key_BKSD.shape[1]
  if num_kv_heads % manual.parts('activation_heads'):
    # Too few to split: give every query head its own copy.
    key_BKSD, value_BKSD = (
      jnp.repeat(x, num_heads // num_kv_heads, axis=1)
      for x in (key_BKSD, value_BKSD)
    )
  heads_axes = ('activation_batch', 'activation_heads', None, None)
  sequence_parts = manual.parts('activation_length')
  if blocks is None:
    blocks = kernel_blocks.choose(length, mask.prefix_length, sequence_parts)
  padded = blocks.padded(length, sequence_parts)

  def pad(array: jax.Array, to: int, axis: int) -> jax.Array:
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, to - length)
    return jnp.pad(array, widths)

  query_BNLD = pad(query_BNLD * (1.0 / math.sqrt(head_dim)), padded[0], 2)
  key_BKSD = pad(key_BKSD, padded[1], 2)
  value_BKSD = pad(value_BKSD, padded[1], 2)
  segment_BS = pad(visible_BS.astype(jnp.int32), padded[1], 1)

  query_spec = manual.spec(
    ('activation_batch', 'activation_heads', 'activation_length', None),
    query_BNLD.shape,
  )
  key_spec = manual.spec(heads_axes, key_BKSD.shape)
  segment_spec = manual.spec(('activation_batch', None), segment_BS.shape)
  local_heads = num_heads
  if query_spec[1] is not None:
    local_heads //= manual.parts('activation_heads')
  kernel = _kernel(
    local_heads,
    padded,
    mask.prefix_length,
    blocks,
    sequence_parts,
    platform == 'cpu',
  )
  kernel_spec = kernel
  abstract_mesh = jax.sharding.get_abstract_mesh()
  if not abstract_mesh.empty:
    kernel_spec = kernel.manual_sharding_spec(
      jax.sharding.NamedSharding(
        abstract_mesh, jax.sharding.PartitionSpec(None, query_spec[2])
      )
    )

  def local(
    kernel: Any,
    query_BNLD: jax.Array,
    key_BKSD: jax.Array,
    value_BKSD: jax.Array,
    segment_BS: jax.Array,
  ) -> jax.Array:
    ids = splash_attention.SegmentIds(
      q=jnp.ones((segment_BS.shape[0], query_BNLD.shape[2]), segment_BS.dtype),
      kv=segment_BS,
    )
    return jax.vmap(kernel)(query_BNLD, key_BKSD, value_BKSD, ids)

  out_BNLD = manual.on_each_device(
    local,
    (kernel_spec, query_spec, key_spec, key_spec, segment_spec),
    query_spec,
  )(kernel, query_BNLD, key_BKSD, value_BKSD, segment_BS)
  return out_BNLD[:, :, :length]
