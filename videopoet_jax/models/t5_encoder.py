"""The encoder of T5 1.1, which turns text into embeddings.

Raffel et al., arXiv 1910.10683, with the changes of version 1.1: a gated GELU
in the MLP and no sharing with an unembedding. No biases anywhere; attention
scores are not divided by sqrt(head_dim); relative position buckets are one
table that all layers share.
"""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.layers import norms
from videopoet_jax.layers import partitioning

_HIDDEN_SCORE = -1e9


@dataclasses.dataclass(frozen=True)
class T5EncoderConfig:
  """Sizes of an encoder; the defaults are T5 1.1 small.

  Attributes:
    vocab_size: rows of the embedding table (32,128 in the released models).
    embed_dim: width of the residual stream.
    num_layers: blocks of attention and MLP.
    num_heads: attention heads.
    head_dim: width of a head; num_heads * head_dim need not be embed_dim.
    mlp_dim: hidden width of the gated MLP.
    num_buckets: relative position buckets, half of them for each direction.
    max_distance: distance from which on all share the last bucket.
    epsilon: epsilon of the norms.
    dropout_rate: dropout of embeddings, attention and MLP, in training only.
    dtype: dtype of activations; norms and scores are float32 always.
  """

  vocab_size: int = 32_128
  embed_dim: int = 512
  num_layers: int = 8
  num_heads: int = 6
  head_dim: int = 64
  mlp_dim: int = 1024
  num_buckets: int = 32
  max_distance: int = 128
  epsilon: float = 1e-6
  dropout_rate: float = 0.0
  dtype: Any = jnp.float32

  def __post_init__(self) -> None:
    if self.num_buckets < 4 or self.num_buckets % 4:
      raise errors.ConfigError(
        f'T5EncoderConfig.num_buckets is {self.num_buckets}; it must be a '
        'multiple of 4: two directions, half of each logarithmic.'
      )


def tiny(vocab_size: int = 256) -> T5EncoderConfig:
  """An encoder to be trained jointly with a tiny language model."""
  return T5EncoderConfig(
    vocab_size=vocab_size,
    embed_dim=64,
    num_layers=2,
    num_heads=4,
    head_dim=16,
    mlp_dim=128,
    num_buckets=16,
    max_distance=32,
  )


def small() -> T5EncoderConfig:
  """T5 1.1 small."""
  return T5EncoderConfig()


def xl() -> T5EncoderConfig:
  """T5 1.1 XL, the frozen text encoder of VideoPoet."""
  return T5EncoderConfig(
    embed_dim=2048, num_layers=24, num_heads=32, mlp_dim=5120
  )


def relative_buckets(
  length: int, num_buckets: int, max_distance: int
) -> np.ndarray:
  """Returns the bucket of the distance from each query to each key.

  Half of the buckets are for keys after the query. In each half, the first half
  counts single positions, the second grows logarithmically up to
  `max_distance`.

  Args:
    length: positions.
    num_buckets: buckets of both directions.
    max_distance: distance from which on all share the last bucket.

  Returns:
    int32 (queries, keys).
  """
  distance = np.arange(length)[None] - np.arange(length)[:, None]
  per_side = num_buckets // 2
  exact = per_side // 2
  size = np.abs(distance)
  # Single precision, as in the released models: at a power of the ratio,
  # rounding decides the bucket.
  growth = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(exact))
  span = np.float32(np.log(max_distance / exact))
  logarithmic = exact + (growth / span * np.float32(per_side - exact)).astype(
    np.int32
  )
  side = np.where(size < exact, size, np.minimum(logarithmic, per_side - 1))
  return (side + per_side * (distance > 0)).astype(np.int32)


class _Linear(nn.Module):
  """A matrix without a bias, (.., in) -> (.., out)."""

  features: int
  axes: tuple[str, str]
  dtype: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = partitioning.param(
      self,
      'kernel',
      nn.initializers.lecun_normal(),
      (x.shape[-1], self.features),
      self.axes,
    )
    return x.astype(self.dtype) @ kernel.astype(self.dtype)


class SelfAttention(nn.Module):
  """Attention over all visible positions, with a bias by distance.

  Attributes:
    config: sizes.
  """

  config: T5EncoderConfig

  @nn.compact
  def __call__(
    self, x_BSD: jax.Array, bias_BNSS: jax.Array, deterministic: bool
  ) -> jax.Array:
    """Attends.

    Args:
      x_BSD: (batch, slots, embed_dim).
      bias_BNSS: added to the scores, (batch, heads, queries, keys).
      deterministic: whether to run without dropout.

    Returns:
      (batch, slots, embed_dim).
    """
    config = self.config
    batch, slots, _ = x_BSD.shape
    shape = (batch, slots, config.num_heads, config.head_dim)
    inner = config.num_heads * config.head_dim
    query, key, value = (
      _Linear(inner, ('embed', 'heads'), config.dtype, name=name)(
        x_BSD
      ).reshape(shape)
      for name in ('query', 'key', 'value')
    )
    scores = jnp.einsum('bqnh,bknh->bnqk', query, key).astype(jnp.float32)
    weights = jax.nn.softmax(scores + bias_BNSS, axis=-1)
    weights = nn.Dropout(config.dropout_rate)(weights, deterministic)
    mixed = jnp.einsum('bnqk,bknh->bqnh', weights.astype(config.dtype), value)
    return _Linear(
      config.embed_dim, ('heads', 'embed'), config.dtype, name='output'
    )(mixed.reshape(batch, slots, inner))


class GatedMlp(nn.Module):
  """gelu(x gate) * (x up), projected down.

  Attributes:
    config: sizes.
  """

  config: T5EncoderConfig

  @nn.compact
  def __call__(self, x_BSD: jax.Array, deterministic: bool) -> jax.Array:
    """Maps (batch, slots, embed_dim) to the same shape."""
    config = self.config
    gate, up = (
      _Linear(config.mlp_dim, ('embed', 'mlp'), config.dtype, name=name)(x_BSD)
      for name in ('gate', 'up')
    )
    hidden = nn.gelu(gate, approximate=True) * up
    hidden = nn.Dropout(config.dropout_rate)(hidden, deterministic)
    return _Linear(
      config.embed_dim, ('mlp', 'embed'), config.dtype, name='down'
    )(hidden)


class Block(nn.Module):
  """Attention and MLP, each normalised before and added after.

  Attributes:
    config: sizes.
  """

  config: T5EncoderConfig

  @nn.compact
  def __call__(
    self, x_BSD: jax.Array, bias_BNSS: jax.Array, deterministic: bool
  ) -> jax.Array:
    """Maps (batch, slots, embed_dim) to the same shape."""
    config = self.config
    drop = nn.Dropout(config.dropout_rate)
    norm = lambda name: norms.RMSNorm(
      dtype=config.dtype, epsilon=config.epsilon, name=name
    )
    attended = SelfAttention(config, name='attention')(
      norm('attention_norm')(x_BSD), bias_BNSS, deterministic
    )
    x_BSD = x_BSD + drop(attended, deterministic)
    hidden = GatedMlp(config, name='mlp')(
      norm('mlp_norm')(x_BSD), deterministic
    )
    return x_BSD + drop(hidden, deterministic)


class T5Encoder(nn.Module):
  """Maps token ids to embeddings.

  Attributes:
    config: sizes.
  """

  config: T5EncoderConfig

  @nn.compact
  def __call__(
    self,
    ids_BS: jax.Array,
    mask_BS: jax.Array | None = None,
    deterministic: bool = True,
  ) -> jax.Array:
    """Encodes.

    Args:
      ids_BS: int32 (batch, slots), padded with 0.
      mask_BS: bool (batch, slots), True where there is text; None means where
        the id is not 0.
      deterministic: whether to run without dropout.

    Returns:
      (batch, slots, embed_dim); vectors at padding have no meaning.
    """
    config = self.config
    if mask_BS is None:
      mask_BS = ids_BS != 0
    embedding = partitioning.param(
      self,
      'embedding',
      nn.initializers.normal(1.0),
      (config.vocab_size, config.embed_dim),
      ('vocab', 'embed'),
    )
    table = partitioning.param(
      self,
      'relative_table',
      nn.initializers.normal(config.embed_dim**-0.5),
      (config.num_buckets, config.num_heads),
      ('relative_buckets', 'heads'),
    )
    buckets = relative_buckets(
      ids_BS.shape[1], config.num_buckets, config.max_distance
    )
    position_NSS = jnp.transpose(table[buckets], (2, 0, 1))
    hidden_BS = jnp.where(mask_BS, 0.0, _HIDDEN_SCORE)
    bias_BNSS = position_NSS[None] + hidden_BS[:, None, None, :]
    drop = nn.Dropout(config.dropout_rate)
    x_BSD = drop(embedding[ids_BS].astype(config.dtype), deterministic)
    for layer in range(config.num_layers):
      x_BSD = Block(config, name=f'block_{layer}')(
        x_BSD, bias_BNSS, deterministic
      )
    x_BSD = norms.RMSNorm(
      dtype=config.dtype, epsilon=config.epsilon, name='final_norm'
    )(x_BSD)
    return drop(x_BSD, deterministic)
