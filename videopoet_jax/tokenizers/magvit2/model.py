"""The visual tokenizer as one module: encoder, quantizer, decoder."""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.tokenizers.magvit2 import decoder
from videopoet_jax.tokenizers.magvit2 import encoder
from videopoet_jax.tokenizers.quantizers import interface


def check_video_shape(
  spec: specs.VisualSpec, shape: tuple[int, ...], first: bool = True
) -> None:
  """Raises LayoutError if a tokenizer cannot take video of this shape.

  Args:
    spec: grid of the tokenizer.
    shape: shape of the video.
    first: whether it begins with the clip's first frame.
  """
  if len(shape) != 5 or shape[-1] != 3:
    raise errors.LayoutError(
      'the visual tokenizer takes (batch, frames, height, width, 3); got'
      f' {shape}.'
    )
  frames, height, width = shape[1:4]
  stride = spec.temporal_stride
  if not first and (not frames or frames % stride):
    raise errors.LayoutError(
      f'a later chunk of a clip has {frames} frames; expected a multiple of '
      f"the tokenizer's temporal stride, {stride}."
    )
  spec.latent_shape(frames if first else 1 + frames, height, width)


# Maps the quantizer and latents to the decoder's input.
Bottleneck = Callable[[interface.Quantizer, jax.Array], jax.Array]


def quantized(quantizer: interface.Quantizer, latents: jax.Array) -> jax.Array:
  """The usual bottleneck: codes, with a straight-through gradient."""
  return quantizer.quantize(latents)


class VisualTokenizerModel(nn.Module):
  """MAGVIT-v2 (arXiv 2310.05737): video to ids and back.

  Attributes:
    config: sizes and architecture.
  """

  config: config_lib.VisualTokenizerConfig

  def setup(self) -> None:
    """Builds the quantizer and the parts of the chosen architecture."""
    self.quantizer = self.config.make_quantizer()
    if self.config.architecture == 'magvit2':
      self.encoder = encoder.ConvEncoder(self.config)
      self.decoder = decoder.ConvDecoder(self.config)
    else:
      self.encoder = encoder.PatchEncoder(self.config)
      self.decoder = decoder.PatchDecoder(self.config)

  def latents(self, video_BTHWC: jax.Array, first: bool = True) -> jax.Array:
    """Returns latents before quantization.

    Args:
      video_BTHWC: float in [-1, 1], 3 channels.
      first: whether it begins with the clip's first frame; False for a later
        chunk of a clip, see `encoder.ConvEncoder`.

    Returns:
      float32 (batch, t, h, w, channels of codes).

    Raises:
      LayoutError: if the frames are not 1 + temporal_stride * k, or height or
        width is not a multiple of the spatial stride.
    """
    check_video_shape(self.config.spec, video_BTHWC.shape, first)
    return self.encoder(video_BTHWC, first)

  def encode(self, video_BTHWC: jax.Array, first: bool = True) -> jax.Array:
    """Returns int32 ids (batch, t, h, w); see `latents`."""
    return self.quantize(self.latents(video_BTHWC, first))

  def quantize(self, latents_BTHWC: jax.Array) -> jax.Array:
    """Returns int32 ids (batch, t, h, w) of latents."""
    return self.quantizer.latents_to_ids(latents_BTHWC)

  def decode_codes(
    self, codes_BTHWC: jax.Array, first: bool = True
  ) -> jax.Array:
    """Returns the video of codes, clipped; see `decoder.ConvDecoder`."""
    return jnp.clip(self.decoder(codes_BTHWC, first), -1.0, 1.0)

  def decode(self, ids_BTHW: jax.Array, first: bool = True) -> jax.Array:
    """Returns the video of ids, clipped; see `decoder.ConvDecoder`."""
    return self.decode_codes(self.quantizer.ids_to_codes(ids_BTHW), first)

  def decode_bits(self, bits_BTHWC: jax.Array, first: bool = True) -> jax.Array:
    """Returns the video of expected bits from -1 to 1, clipped to [-1, 1].

    Raises:
      ConfigError: ids of this quantizer have no bits.
    """
    return self.decode_codes(self.quantizer.expected_codes(bits_BTHWC), first)

  def terms(
    self,
    latents: jax.Array,
    inverse_temperature: float = 1.0,
    group_bits: int = 9,
  ) -> dict[str, jax.Array]:
    """The quantizer's terms of a loss; see `quantizers.interface`."""
    return self.quantizer.terms(latents, inverse_temperature, group_bits)

  def usage(self, latents: jax.Array) -> jax.Array:
    """Share of the codebook's entropy in use; see `quantizers.interface`."""
    return self.quantizer.usage(latents)

  def __call__(
    self, video_BTHWC: jax.Array, bottleneck: Bottleneck = quantized
  ) -> tuple[jax.Array, jax.Array]:
    """Passes a video through the bottleneck, for training.

    Args:
      video_BTHWC: float in [-1, 1].
      bottleneck: function from the quantizer and latents to the decoder's
        input.

    Returns:
      The reconstruction, not clipped, and the latents.
    """
    latents = self.latents(video_BTHWC)
    return self.decoder(bottleneck(self.quantizer, latents)), latents
