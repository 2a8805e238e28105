"""The super-resolution transformer: maps masked ids to hidden states."""

import math
from typing import Any

import chex
from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.layers import attention
from videopoet_jax.layers import embeddings
from videopoet_jax.layers import masks
from videopoet_jax.layers import norms
from videopoet_jax.layers import partitioning
from videopoet_jax.layers import transformer
from videopoet_jax.layers import windowed
from videopoet_jax.losses import cross_entropy
from videopoet_jax.models import factor_head
from videopoet_jax.models.super_resolution import config as config_lib
from videopoet_jax.models.super_resolution import inputs

_CELL_AXES = ('activation_batch', None, None, None, 'activation_embed')


class _Block(nn.Module):
  """Three layers, in the form for `nn.scan`."""

  config: config_lib.SuperResolutionConfig
  layer: transformer.BlockConfig

  @nn.compact
  def __call__(
    self, cells_BTHWD: jax.Array, conditions: windowed.Conditions
  ) -> tuple[jax.Array, None]:
    for name, window in zip(config_lib.LAYERS, self.config.windows):
      cells_BTHWD = windowed.WindowedLayer(
        self.layer,
        window,
        self.config.scale,
        self.config.conditioning,
        name=name,
      )(cells_BTHWD, conditions)
    return cells_BTHWD, None


class _Blocks(nn.Module):
  """Blocks in a row, one set of stacked parameters under `nn.scan`."""

  config: config_lib.SuperResolutionConfig
  layer: transformer.BlockConfig

  @nn.compact
  def __call__(
    self, cells_BTHWD: jax.Array, conditions: windowed.Conditions
  ) -> jax.Array:
    config, body = self.config, _Block
    if config.remat != 'none':
      body = nn.remat(
        body,
        policy=transformer.remat_policy(config.remat),
        prevent_cse=not config.scan_layers,
      )
    if not config.scan_layers:
      for index in range(config.num_blocks):
        cells_BTHWD, _ = body(config, self.layer, name=f'block_{index}')(
          cells_BTHWD, conditions
        )
      return cells_BTHWD
    blocks = nn.scan(
      body,
      variable_axes={'params': 0},
      split_rngs={'params': True},
      in_axes=nn.broadcast,
      length=config.num_blocks,
      metadata_params={nn.PARTITION_NAME: 'layers'},
    )(config, self.layer, name='blocks')
    return blocks(cells_BTHWD, conditions)[0]


class SuperResolution(nn.Module):
  """Masked transformer over the ids of a clip, given those of a smaller clip.

  Attributes:
    config: sizes and choices.
    codebook_size: codes of the result, a power of two.
    low_codebook_size: codes of the condition; 0 for the same number.
  """

  config: config_lib.SuperResolutionConfig
  codebook_size: int
  low_codebook_size: int = 0

  @property
  def types(self) -> dict[str, Any]:
    """Keyword arguments that every submodule takes."""
    return {
      'dtype': jnp.dtype(self.config.dtype),
      'param_dtype': jnp.dtype(self.config.param_dtype),
    }

  def layer_config(self, num_layers: int) -> transformer.BlockConfig:
    """Sizes of one of `num_layers` layers."""
    config = self.config
    return transformer.BlockConfig(
      num_heads=config.num_heads,
      num_kv_heads=config.num_heads,
      head_dim=config.head_dim,
      mlp_dim=config.mlp_dim,
      num_layers=num_layers,
      activation=config.activation,
      qk_norm=config.qk_norm,
      attention=config.attention,
      **self.types,
    )

  def setup(self) -> None:
    config, types = self.config, self.types
    bits = embeddings.code_bits(self.codebook_size)
    low_bits = embeddings.code_bits(
      self.low_codebook_size or self.codebook_size
    )
    self.cells = inputs.CellEmbedding(config, bits, **types)
    self.low = inputs.LowEmbedding(config, low_bits, **types)
    self.text = inputs.TextEmbedding(config, **types)
    if config.text_encoder_layers:
      self.text_encoder = transformer.Stack(
        self.layer_config(config.text_encoder_layers), scan=False
      )
    self.low_norm = norms.RMSNorm(**types)
    self.text_norm = norms.RMSNorm(**types)
    self.stack = _Blocks(
      config, self.layer_config(config.num_blocks * len(config_lib.LAYERS))
    )
    self.final_norm = norms.RMSNorm(**types)
    self.head = factor_head.FactorHead(
      *embeddings.halves(bits),
      width=config.width,
      soft_cap=config.soft_cap,
      **types,
    )

  def hidden(
    self,
    tokens_BTHW: jax.Array,
    masked_BTHW: jax.Array,
    low_BTHW: jax.Array,
    low_visible_B: jax.Array,
    text: jax.Array,
    text_visible_BS: jax.Array,
  ) -> jax.Array:
    """Runs the model.

    Args:
      tokens_BTHW: int32 (B, T, H, W), local ids of the result.
      masked_BTHW: bool, True where the id is hidden.
      low_BTHW: int32 (B, T, H / scale, W / scale), local ids of the condition;
        or float32 with another axis of bits, from -1 to 1, their expected
        codes.
      low_visible_B: bool (B,), False where an example has no condition.
      text: int32 (B, S) ids, or float32 (B, S, text_embedding_dim) with
        `text='embeddings'`.
      text_visible_BS: bool (B, S), False for padding; all False where an
        example has no text.

    Returns:
      (B, T, H, W, D), normalized; each entry predicts the id of its place.

    Raises:
      LayoutError: windows do not divide the grid, or the condition has another
        size.
    """
    chex.assert_equal_shape([tokens_BTHW, masked_BTHW])
    # A condition or a text of one example would be broadcast to all.
    chex.assert_equal_shape_prefix([tokens_BTHW, low_BTHW], 1)
    chex.assert_shape(low_visible_B, tokens_BTHW.shape[:1])
    chex.assert_equal_shape_prefix([text, text_visible_BS], 2)
    _, frames, height, width = tokens_BTHW.shape
    grid = (frames, height, width)
    scale = self.config.scale
    self.config.check_grid(grid)
    expected = (grid[0], grid[1] // scale, grid[2] // scale)
    if low_BTHW.shape[1:4] != expected:
      raise errors.LayoutError(
        f'ids of {grid} need a condition of {expected}, at scale {scale}; '
        f'this one is {low_BTHW.shape[1:4]}.'
      )
    low_BTHWD = self.low(low_BTHW, low_visible_B)
    cells_BTHWD = self.cells(tokens_BTHW, masked_BTHW)
    if self.config.low_input:
      cells_BTHWD += self.low.spread(low_BTHWD)
    text_BSD, visible_BS = self.text(text, text_visible_BS)
    if self.config.text_encoder_layers:
      context = attention.Context(masks.BIDIRECTIONAL, visible_BS)
      text_BSD, _ = self.text_encoder(text_BSD, context)
    conditions = windowed.Conditions(
      self.low_norm(low_BTHWD), self.text_norm(text_BSD), visible_BS
    )
    cells_BTHWD = self.stack(
      partitioning.constrain(cells_BTHWD, _CELL_AXES), conditions
    )
    return self.final_norm(cells_BTHWD)

  __call__ = hidden

  def first_factor(self, hidden_ND: jax.Array) -> jax.Array:
    """Logits of an id's high bits, float32 (N, 2^high bits)."""
    return self.head.first(hidden_ND)

  def second_factor(
    self, hidden_ND: jax.Array, first_N: jax.Array
  ) -> jax.Array:
    """Logits of the low bits given the high ones, float32 (N, 2^low bits)."""
    return self.head.second(hidden_ND, first_N)

  def loss(
    self, hidden_BTHWD: jax.Array, labels_BTHW: jax.Array
  ) -> cross_entropy.Result:
    """Returns the loss of every place, masked or not.

    Args:
      hidden_BTHWD: result of `hidden`.
      labels_BTHW: int32 local ids.

    Returns:
      Arrays of (B, T, H, W), in spite of the fields' suffixes.
    """
    # Reshaped alike, grids of as many cells would pass.
    chex.assert_equal_shape_prefix([hidden_BTHWD, labels_BTHW], 4)
    batch, *grid, width = hidden_BTHWD.shape
    result = self.head.loss(
      hidden_BTHWD.reshape(batch, -1, width), labels_BTHW.reshape(batch, -1)
    )
    return cross_entropy.Result(
      *(part.reshape(batch, *grid) for part in result)
    )

  def losses(
    self,
    tokens_BTHW: jax.Array,
    masked_BTHW: jax.Array,
    low_BTHW: jax.Array,
    low_visible_B: jax.Array,
    text: jax.Array,
    text_visible_BS: jax.Array,
  ) -> cross_entropy.Result:
    """Returns `loss` of `hidden`, with the given ids as labels."""
    hidden_BTHWD = self.hidden(
      tokens_BTHW, masked_BTHW, low_BTHW, low_visible_B, text, text_visible_BS
    )
    return self.loss(hidden_BTHWD, tokens_BTHW)

  def declare(self) -> jax.Array:
    """Touches every parameter once, whatever sizes a run has.

    Use it as `init`'s method.
    """
    config = self.config
    rows, columns = (
      math.lcm(*(window[axis] or config.scale for window in config.windows))
      for axis in (1, 2)
    )
    tokens = jnp.zeros((1, 1, rows, columns), jnp.int32)
    text = jnp.zeros((1, 1), jnp.int32)
    if config.text == 'embeddings':
      text = jnp.zeros((1, 1, config.text_embedding_dim), jnp.float32)
    hidden_BTHWD = self.hidden(
      tokens,
      jnp.ones(tokens.shape, bool),
      tokens[:, :, :: config.scale, :: config.scale],
      jnp.ones((1,), bool),
      text,
      jnp.ones((1, 1), bool),
    )
    return self.first_factor(hidden_BTHWD[0, 0, 0, :1])
