"""Visual tokenizers that were published elsewhere, behind our interface."""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers import interface

# Their networks are large: so many clips are computed at a time.
_BATCH_SIZE = 4


class PublishedTokenizer(interface.TokenizerBundle):
  """Encodes video_BTHWC, uint8 or float in [-1, 1], to ids_BTHW.

  A subclass names its `kind`, its `family` for messages, and its module, which
  has the methods `encode` and `decode`.

  Attributes:
    family: name of the published family.
    config_class: the class of its configs.
  """

  family = ''
  config_class: type[Any]

  def __init__(
    self, config: Any, params: Any, batch_size: int = _BATCH_SIZE
  ) -> None:
    self.module = self.make_module(config)
    super().__init__(config, params, batch_size)

  @classmethod
  def make_module(cls, config: Any) -> nn.Module:
    """Returns the module of a config."""
    raise NotImplementedError

  @property
  def notes(self) -> tuple[str, ...]:
    """Sentences about the ids, for the summary of an import."""
    return ()

  @property
  def spec(self) -> specs.VisualSpec:
    """Shape of the grid of ids."""
    return self.config.spec

  @classmethod
  def shapes(cls, config: Any) -> Any:
    """Returns nested dicts of `jax.ShapeDtypeStruct`: the parameters."""
    spec = config.spec
    side = 2 * spec.spatial_stride
    video = jax.ShapeDtypeStruct(
      (1, 1 + spec.temporal_stride, side, side, 3), jnp.float32
    )
    module = cls.make_module(config)
    found = jax.eval_shape(module.init, jax.random.key(0), video)
    return found['params']

  def encode_batch(self, params: Any, signal: jax.Array) -> jax.Array:
    """Maps float32 video_BTHWC in [-1, 1] to int32 ids_BTHW; pure."""
    return self.module.apply({'params': params}, signal, method='encode')

  def decode_batch(self, params: Any, ids: jax.Array) -> jax.Array:
    """Maps int32 ids_BTHW to float32 video_BTHWC in [-1, 1]; pure."""
    return self.module.apply({'params': params}, ids, method='decode')

  def prepare(self, signal: np.ndarray) -> np.ndarray:
    """Converts uint8 or float video to float32 in [-1, 1].

    Raises:
      LayoutError: if it is not (batch, frames, height, width, 3), or the
        frames are not 1 + temporal_stride * k, or a size not a multiple of
        the spatial stride.
    """
    if signal.ndim != 5 or signal.shape[-1] != 3:
      raise errors.LayoutError(
        f'{self.family} takes (batch, frames, height, width, 3); got'
        f' {signal.shape}.'
      )
    self.spec.latent_shape(*signal.shape[1:4])
    if signal.dtype == np.uint8:
      return signal.astype(np.float32) / np.float32(127.5) - np.float32(1)
    return signal.astype(np.float32)

  def decode(self, ids: Any) -> np.ndarray:
    """Decodes grids of local ids to video.

    Raises:
      LayoutError: if ids are not (batch, t, h, w) or out of range.
    """
    ids = np.asarray(ids, np.int32)
    size = self.spec.codebook_size
    if ids.ndim != 4:
      raise errors.LayoutError(
        f'{self.family} decodes ids of shape (batch, t, h, w); got {ids.shape}.'
      )
    if ids.size and (ids.min() < 0 or ids.max() >= size):
      raise errors.LayoutError(
        f'visual ids from {ids.min()} to {ids.max()} are outside the'
        f" tokenizer's 0 to {size - 1}; give local ids."
      )
    return super().decode(ids)

  def decode_codes(self, codes_BTHWC: np.ndarray) -> np.ndarray:
    """Refuses: only lookup-free quantizers have a code of bits.

    Raises:
      LayoutError: always, unless a subclass has such codes.
    """
    raise errors.LayoutError(
      f'the quantizer of {self.family} has levels, not bits: it cannot decode'
      ' codes that lie between ids; sample ids, or take a tokenizer with'
      ' lookup-free quantization.'
    )


def register(cls: type[PublishedTokenizer], from_description: Any) -> None:
  """Registers a subclass with the builder of its config."""

  def build(description: Mapping[str, Any], params: Any) -> PublishedTokenizer:
    return cls(from_description(description), params)

  interface.register(cls.kind, build)
