"""Configuration of a super-resolution transformer."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.core import upscaling
from videopoet_jax.layers import attention
from videopoet_jax.layers import transformer
from videopoet_jax.layers import windowed
from videopoet_jax.layers import windows as windows_lib

_DTYPES = ('float32', 'bfloat16', 'float64')
_CHOICES = {
  'conditioning': windowed.CONDITIONING,
  'text': ('tokens', 'embeddings'),
  'activation': ('gelu', 'silu', 'relu'),
  'remat': transformer.REMAT_POLICIES,
  'attention': attention.IMPLEMENTATIONS,
  'dtype': _DTYPES,
  'param_dtype': _DTYPES,
}
_SIZES = (
  'num_blocks',
  'width',
  'num_heads',
  'head_dim',
  'mlp_dim',
  'time_places',
  'text_embedding_dim',
  'text_vocab_size',
  'text_slots',
)

LAYERS = ('vertical', 'horizontal', 'temporal')


@dataclasses.dataclass(frozen=True)
class SuperResolutionConfig:
  """Sizes and choices; sizes by name are in `presets`.

  Attributes:
    num_blocks: blocks of three layers each, whose windows are long in height,
      in width and in time.
    width: width of the residual stream.
    num_heads: heads of every attention.
    head_dim: dimensions a head.
    mlp_dim: width within the gated MLP.
    activation: activation of the gated MLP: 'gelu', 'silu' or 'relu'.
    qk_norm: whether queries and keys are RMS-normalized.
    windows: windows of the three layers, each (latent frames, rows, columns) of
      the result's grid; the condition's windows cover the same places. Latent
      frames are the most of a window: a clip that they do not divide is shared
      evenly and filled up with hidden frames (`layers/windows.py`); 0 rows or
      columns stand for the whole grid.
    scale: rows and columns of the result over those of the condition.
    conditioning: 'cross' attends to window, condition and text in turn (the
      paper's), 'joint' to all three at once.
    low_input: rows and columns of the condition, an odd number, around the
      place of each cell that are added to the cell's input by a convolution; 0
      for none. Not in the paper; it helps small models.
    time_places: latent frames with a learned row; later ones share the last.
    text: 'tokens' (a table learned with the model) or 'embeddings' (a linear
      projection of a frozen encoder's, the paper's).
    text_embedding_dim: width of the given text embeddings (2,048 for T5 XL).
    text_encoder_layers: bidirectional blocks over the text alone, trained with
      the model.
    text_vocab_size: ids of the text tokenizer, with `text='tokens'`.
    text_slots: largest number of text positions.
    soft_cap: bound of the output logits; 0 leaves them.
    z_loss: weight of the squared logarithm of the softmax's denominator.
    attention: implementation, one of `layers.attention.IMPLEMENTATIONS`.
    scan_layers: whether one compiled body serves all blocks.
    remat: what the backward pass keeps of a block, one of
      `layers.transformer.REMAT_POLICIES`.
    dtype: dtype of the computation.
    param_dtype: dtype that parameters are stored in.
  """

  num_blocks: int = 2
  width: int = 128
  num_heads: int = 4
  head_dim: int = 32
  mlp_dim: int = 384
  activation: str = 'gelu'
  qk_norm: bool = True
  windows: tuple[windows_lib.Window, ...] = ((1, 0, 4), (1, 4, 0), (5, 4, 4))
  scale: int = 2
  conditioning: str = 'cross'
  low_input: int = 0
  time_places: int = 16
  text: str = 'tokens'
  text_embedding_dim: int = 2048
  text_encoder_layers: int = 0
  text_vocab_size: int = 32_128
  text_slots: int = 64
  soft_cap: float = 0.0
  z_loss: float = 1e-4
  attention: str = 'auto'
  scan_layers: bool = True
  remat: str = 'none'
  dtype: str = 'float32'
  param_dtype: str = 'float32'

  def __post_init__(self) -> None:
    # JSON and gin give lists.
    given = tuple(tuple(window) for window in self.windows)
    object.__setattr__(self, 'windows', given)
    for name, known in _CHOICES.items():
      setting = f'SuperResolutionConfig.{name}'
      errors.check_choice(setting, getattr(self, name), known)
    for name in _SIZES:
      if getattr(self, name) < 1:
        self._refuse(name, 'it must be at least 1')
    errors.check_range(self, 'text_encoder_layers', 'soft_cap', 'z_loss')
    if self.head_dim % 2:
      self._refuse('head_dim', 'it must be even for rotary positions')
    if self.scale < 2:
      self._refuse('scale', 'it must be 2 or more')
    if self.low_input and self.low_input % 2 == 0:
      self._refuse('low_input', 'it must be odd, or 0')
    if len(given) != len(LAYERS) or any(
      len(window) != 3 or min(window) < 0 or not window[0] for window in given
    ):
      self._refuse(
        'windows',
        f'expected three of (latent frames, rows, columns), {LAYERS}',
      )
    for window in given:
      for size in window[1:]:
        if size % self.scale:
          near = upscaling.nearest_multiples(size, self.scale)
          self._refuse(
            'windows',
            f'in {window} {size} cells have no counterpart in the condition; '
            f'rows and columns must be multiples of scale={self.scale}: use '
            f'{near}',
          )

  def _refuse(self, name: str, why: str) -> None:
    raise errors.ConfigError(
      f'SuperResolutionConfig.{name} is {getattr(self, name)!r}: {why}.'
    )

  def check_grid(self, grid: windows_lib.Window) -> None:
    """Raises LayoutError unless scale and windows divide rows and columns."""
    for axis, size in zip(('rows', 'columns'), grid[1:]):
      if size % self.scale:
        raise errors.LayoutError(
          f'a latent grid of {grid} has no counterpart {self.scale} times '
          f'smaller: use {upscaling.nearest_multiples(size, self.scale)} '
          f'{axis}.'
        )
    for index, window in enumerate(self.windows):
      name = f'SuperResolutionConfig.windows[{index}]'
      windows_lib.check(name, window, grid, self.scale)

  def check(
    self,
    unit: upscaling.Upscaling,
    spec: specs.VisualSpec,
    low_spec: specs.VisualSpec,
  ) -> None:
    """Checks that a unit and two tokenizers match this config.

    Args:
      unit: sizes of result and condition.
      spec: grid of the result's tokenizer.
      low_spec: grid of the condition's tokenizer.

    Raises:
      ConfigError: the scales differ, or codes have no bits (FSQ, VQ).
      LayoutError: windows or strides do not divide the sizes.
    """
    for what, grid_spec in (('', spec), (' low', low_spec)):
      size = grid_spec.codebook_size
      grid_spec.require_bits('super-resolution')
      if size < 4 or size & (size - 1):
        raise errors.ConfigError(
          f'a{what} codebook of {size} codes: super-resolution takes ids by '
          'their bits; train the tokenizer with a power of two, at least 4.'
        )
    if unit.scale != self.scale:
      raise errors.ConfigError(
        f'{unit.name} is by {unit.scale}, SuperResolutionConfig.scale is '
        f'{self.scale}: make them equal.'
      )
    grid, low_grid = unit.latent(spec), unit.low_latent(low_spec)
    if (grid[0], grid[1] // self.scale, grid[2] // self.scale) != low_grid:
      raise errors.LayoutError(
        f'{unit.name}: ids of {grid} with a condition of {low_grid}; both '
        'tokenizers must have the same strides.'
      )
    self.check_grid(grid)


def from_description(description: Mapping[str, Any]) -> SuperResolutionConfig:
  """See `checkpoints.describe.read_config`."""
  return describe.read_config(
    SuperResolutionConfig, description, 'super-resolution model'
  )
