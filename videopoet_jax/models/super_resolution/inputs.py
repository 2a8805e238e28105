"""Maps ids, masks and conditions to the vectors that the layers process."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.layers import embeddings
from videopoet_jax.layers import partitioning
from videopoet_jax.models.super_resolution import config as config_lib


def _rows(
  module: nn.Module, name: str, shape: tuple[int, ...], dtype: Any
) -> jax.Array:
  """Declares a table of learned vectors."""
  axes = (*(None,) * (len(shape) - 1), 'embed')
  return partitioning.param(
    module, name, nn.initializers.normal(0.5), shape, axes, dtype
  )


def _time_rows(frames: int, places: int) -> np.ndarray:
  """Int (frames,): row of each latent frame; later ones share the last."""
  return np.minimum(np.arange(frames), places - 1)


class CellEmbedding(nn.Module):
  """Embeds ids of the result, or a learned vector if masked, and places.

  A place is the latent frame (the first holds one frame, the others several)
  and the position of a cell within the cell of the condition that covers it.
  Rows and columns are left to the layers, which use differences only, so the
  weights serve any tile of a larger frame.

  Attributes:
    config: config of the model.
    bits: bits of an id.
    dtype: dtype of the result.
    param_dtype: dtype that tables are stored in.
  """

  config: config_lib.SuperResolutionConfig
  bits: int
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, tokens_BTHW: jax.Array, masked_BTHW: jax.Array
  ) -> jax.Array:
    """Maps (B, T, H, W) ids and masks to (B, T, H, W, D)."""
    width, scale = self.config.width, self.config.scale
    frames, rows, columns = tokens_BTHW.shape[1:]
    known = embeddings.VisualBits(
      self.bits, width, self.dtype, self.param_dtype, name='visual_bits'
    )(jnp.where(masked_BTHW, 0, tokens_BTHW))
    mask_D = _rows(self, 'mask', (width,), self.param_dtype)
    cells_BTHWD = jnp.where(
      masked_BTHW[..., None],
      partitioning.spread(mask_D.astype(self.dtype), 5),
      known,
    )
    times = _rows(
      self, 'time', (self.config.time_places, width), self.param_dtype
    )
    within = _rows(self, 'within', (scale, scale, width), self.param_dtype)
    time_TD = times[_time_rows(frames, self.config.time_places)]
    within_HWD = jnp.tile(within, (rows // scale, columns // scale, 1))
    place_THWD = time_TD[:, None, None] + within_HWD[None]
    return cells_BTHWD + place_THWD[None].astype(self.dtype)


class LowEmbedding(nn.Module):
  """Embeds ids of the condition, or a learned vector without one.

  Attributes:
    config: config of the model.
    bits: bits of an id.
    dtype: dtype of the result.
    param_dtype: dtype that tables are stored in.
  """

  config: config_lib.SuperResolutionConfig
  bits: int
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  def setup(self) -> None:
    width, scale = self.config.width, self.config.scale
    self.visual_bits = embeddings.VisualBits(
      self.bits, width, self.dtype, self.param_dtype
    )
    self.null = _rows(self, 'null', (width,), self.param_dtype)
    self.time = _rows(
      self, 'time', (self.config.time_places, width), self.param_dtype
    )
    if self.config.low_input:
      side = self.config.low_input
      self.kernel = partitioning.param(
        self,
        'kernel',
        partitioning.fan_in_init((0, 1, 2), (3,)),
        (side, side, width, scale * scale * width),
        (None, None, 'embed', 'mlp'),
        self.param_dtype,
      )

  def __call__(self, low_BTHW: jax.Array, visible_B: jax.Array) -> jax.Array:
    """Maps (B, T, h, w) ids, or their expected codes, to (B, T, h, w, D)."""
    expected = jnp.issubdtype(low_BTHW.dtype, jnp.floating)
    embed = self.visual_bits.expected if expected else self.visual_bits
    known = embed(low_BTHW)
    null = partitioning.spread(self.null.astype(self.dtype), 5)
    vectors = jnp.where(visible_B[:, None, None, None, None], known, null)
    time_TD = self.time[
      _time_rows(low_BTHW.shape[1], self.config.time_places)
    ].astype(self.dtype)
    return vectors + time_TD[None, :, None, None]

  def spread(self, low_BTHWD: jax.Array) -> jax.Array:
    """Maps the condition's vectors to the result's grid, (B, T, H, W, D).

    A convolution over rows and columns gives the cells that each cell of the
    condition covers.
    """
    batch, frames, rows, columns, width = low_BTHWD.shape
    scale = self.config.scale
    wide = jax.lax.conv_general_dilated(
      low_BTHWD.reshape(batch * frames, rows, columns, width),
      self.kernel.astype(self.dtype),
      (1, 1),
      'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    ).reshape(batch, frames, rows, columns, scale, scale, width)
    return (
      jnp.swapaxes(wide, 4, 5)
      .swapaxes(3, 4)
      .reshape(batch, frames, rows * scale, columns * scale, width)
    )


class TextEmbedding(nn.Module):
  """Embeds text behind a learned slot that is always visible.

  An example without text reads only that slot.

  Attributes:
    config: config of the model.
    dtype: dtype of the result.
    param_dtype: dtype that tables are stored in.
  """

  config: config_lib.SuperResolutionConfig
  dtype: Any = jnp.float32
  param_dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, text: jax.Array, visible_BS: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns vectors (B, 1 + S, D) and visibility (B, 1 + S)."""
    config = self.config
    batch, slots = visible_BS.shape
    if config.text == 'embeddings':
      kernel = partitioning.param(
        self,
        'projection',
        partitioning.fan_in_init((0,), (1,)),
        (config.text_embedding_dim, config.width),
        (None, 'embed'),
        self.param_dtype,
      )
      vectors = text.astype(self.dtype) @ kernel.astype(self.dtype)
    else:
      table = partitioning.param(
        self,
        'table',
        nn.initializers.normal(1.0),
        (config.text_vocab_size, config.width),
        ('vocab', 'embed'),
        self.param_dtype,
      )
      place = _rows(
        self, 'place', (config.text_slots, config.width), self.param_dtype
      )
      vectors = (
        jnp.take(table, text, axis=0, mode='clip') + place[None, :slots]
      ).astype(self.dtype)
    null_D = _rows(self, 'null', (config.width,), self.param_dtype)
    null_B1D = jnp.broadcast_to(
      partitioning.spread(null_D.astype(self.dtype), 3),
      (batch, 1, config.width),
    )
    return (
      jnp.concatenate([null_B1D, vectors], axis=1),
      jnp.concatenate([jnp.ones((batch, 1), bool), visible_BS], axis=1),
    )
