"""A pre-norm transformer block and a stack of them."""

import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.layers import attention
from videopoet_jax.layers import kv_cache
from videopoet_jax.layers import low_rank
from videopoet_jax.layers import mlp
from videopoet_jax.layers import norms
from videopoet_jax.layers import partitioning

_ACTIVATION_AXES = ('activation_batch', 'activation_length', 'activation_embed')

_Kept = partitioning.Kept
# What a backward pass keeps of a layer by name, from least to most. Attention's
# result is small and costly to compute; the MLP's hidden units are the reverse.
_NAMED = {
  'save_attention': (_Kept.ATTENTION,),
  'save_qkv': (_Kept.QKV, _Kept.ATTENTION),
  'save_all_but_mlp': (_Kept.QKV, _Kept.ATTENTION, _Kept.OUT),
  'minimal': tuple(_Kept),
}
_GENERAL = {
  'dots': jax.checkpoint_policies.dots_saveable,
  'dots_no_batch': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}
# 'none' keeps everything and 'full' only a layer's input. 'minimal' recomputes
# only cheap operations; 'dots' keeps the results of all matrix products,
# attention's logits among them.
REMAT_POLICIES = ('none', 'full', *_NAMED, *_GENERAL)


def remat_policy(name: str) -> Any:
  """JAX's checkpoint policy of that name; None saves nothing.

  Raises:
    ConfigError: the name is not known.
  """
  if name not in REMAT_POLICIES:
    hint = errors.near_names(name, REMAT_POLICIES)
    raise errors.ConfigError(f'no remat policy {name!r}{hint}.')
  if name in _NAMED:
    names = [str(kept) for kept in _NAMED[name]]
    return jax.checkpoint_policies.save_only_these_names(*names)
  return _GENERAL.get(name)


@dataclasses.dataclass(frozen=True)
class BlockConfig:
  """Sizes of a transformer block.

  Attributes:
    num_heads: query heads.
    num_kv_heads: key and value heads.
    head_dim: dimensions a head.
    mlp_dim: width within the gated MLP.
    num_layers: layers of the stack, for the scale of the initial outputs.
    activation: activation of the gated MLP.
    qk_norm: whether queries and keys are normalized.
    attention: name of the implementation.
    dtype: dtype of the computation.
    param_dtype: dtype that parameters are stored in.
  """

  num_heads: int
  num_kv_heads: int
  head_dim: int
  mlp_dim: int
  num_layers: int
  activation: str = 'gelu'
  qk_norm: bool = True
  attention: str = 'auto'
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32


class Block(nn.Module):
  """Attention, then the gated MLP, each added to its input.

  Attributes:
    config: sizes.
  """

  config: BlockConfig

  @nn.compact
  def __call__(
    self,
    inputs_BLD: jax.Array,
    context: attention.Context,
    cache: kv_cache.LayerCache | None = None,
  ) -> tuple[jax.Array, kv_cache.LayerCache]:
    """Applies the block; see `attention.Attention`."""
    config = self.config
    types = {'dtype': config.dtype, 'param_dtype': config.param_dtype}
    # Each layer adds twice to the residual stream.
    scale = 1.0 / (2 * config.num_layers)
    normal_BLD = norms.RMSNorm(name='attention_norm', **types)(inputs_BLD)
    added_BLD, kept = attention.Attention(
      config.num_heads,
      config.num_kv_heads,
      config.head_dim,
      qk_norm=config.qk_norm,
      implementation=config.attention,
      output_scale=scale,
      name='attention',
      **types,
    )(normal_BLD, context, cache)
    stream_BLD = partitioning.constrain(
      inputs_BLD + added_BLD, _ACTIVATION_AXES
    )
    normal_BLD = norms.RMSNorm(name='mlp_norm', **types)(stream_BLD)
    added_BLD = mlp.GatedMLP(
      config.mlp_dim, config.activation, output_scale=scale, name='mlp', **types
    )(normal_BLD)
    return partitioning.constrain(
      stream_BLD + added_BLD, _ACTIVATION_AXES
    ), kept


class _ScannedBlock(nn.Module):
  """A block in the form for `nn.scan`; keeps keys only if requested."""

  config: BlockConfig
  keep: bool

  @nn.compact
  def __call__(
    self, stream_BLD: jax.Array, context: attention.Context
  ) -> tuple[jax.Array, kv_cache.LayerCache | None]:
    stream_BLD, kept = Block(self.config, name='block')(stream_BLD, context)
    return stream_BLD, kept if self.keep else None


class Stack(nn.Module):
  """Blocks in a row, one set of stacked parameters under `nn.scan`.

  Attributes:
    config: sizes of each block, and their number.
    scan: whether one compiled body serves every layer.
    remat: one of `REMAT_POLICIES`.
  """

  config: BlockConfig
  scan: bool = True
  remat: str = 'none'

  @nn.compact
  def __call__(
    self,
    inputs_BLD: jax.Array,
    context: attention.Context,
    keep: bool = False,
  ) -> tuple[jax.Array, list[kv_cache.LayerCache]]:
    """Maps (B, L, D) to (B, L, D), plus keys and values a layer if `keep`."""
    body = _ScannedBlock
    if self.remat != 'none':
      body = nn.remat(
        body, policy=remat_policy(self.remat), prevent_cse=not self.scan
      )
    num_layers = self.config.num_layers
    if not self.scan:
      stream_BLD, kept = inputs_BLD, []
      for layer in range(num_layers):
        stream_BLD, cache = body(self.config, keep, name=f'layer_{layer}')(
          stream_BLD, context
        )
        kept.append(cache)
      return stream_BLD, kept if keep else []
    layers = nn.scan(
      body,
      variable_axes={'params': 0, low_rank.COLLECTION: 0},
      split_rngs={'params': True},
      in_axes=nn.broadcast,
      length=num_layers,
      metadata_params={nn.PARTITION_NAME: 'layers'},
    )(self.config, keep, name='layers')
    stream_BLD, stacked = layers(inputs_BLD, context)
    if not keep:
      return stream_BLD, []
    return stream_BLD, [
      jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
      for i in range(num_layers)
    ]


def layer_params(stack_params: Any, num_layers: int) -> list[Any]:
  """Returns each block's own parameters from a stack's, scanned or not.

  Args:
    stack_params: unboxed parameters of a `Stack`.
    num_layers: how many blocks.

  Returns:
    One tree a block, for `Block.apply`.
  """
  if 'layers' not in stack_params:
    return [stack_params[f'layer_{i}']['block'] for i in range(num_layers)]
  return [
    jax.tree.map(lambda leaf, i=i: leaf[i], stack_params['layers']['block'])
    for i in range(num_layers)
  ]
