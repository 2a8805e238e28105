"""The visual tokenizer with its weights, behind the common interface."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers import frame_counts
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.tokenizers.magvit2 import model as model_lib


class VisualTokenizer(interface.TokenizerBundle):
  """MAGVIT-v2: `encode` takes video_BTHWC, uint8 or float in [-1, 1].

  The ids of the first 1 + temporal_stride * k frames are the first ids of the
  whole clip, and an image is a video of one frame.
  """

  kind = 'visual_tokenizer'

  def __init__(
    self,
    config: config_lib.VisualTokenizerConfig,
    params: Any,
    batch_size: int = 32,
  ) -> None:
    self.module = model_lib.VisualTokenizerModel(config)
    super().__init__(config, params, batch_size)
    self._decode_codes = jax.jit(self.decode_codes_batch)

  @property
  def spec(self) -> specs.VisualSpec:
    """Shape of the grid of ids."""
    return self.config.spec

  def encode_batch(self, params: Any, signal: jax.Array) -> jax.Array:
    """Maps float32 video_BTHWC in [-1, 1] to int32 ids_BTHW; pure."""
    return self.module.apply({'params': params}, signal, method='encode')

  def decode_batch(self, params: Any, ids: jax.Array) -> jax.Array:
    """Maps int32 ids_BTHW to float32 video_BTHWC in [-1, 1]; pure."""
    return self.module.apply({'params': params}, ids, method='decode')

  def decode_codes_batch(self, params: Any, codes: jax.Array) -> jax.Array:
    """Maps expected bits_BTHWC to float32 video_BTHWC in [-1, 1]; pure."""
    return self.module.apply({'params': params}, codes, method='decode_bits')

  def prepare(self, signal: np.ndarray) -> np.ndarray:
    """Converts uint8 or float video to float32 in [-1, 1].

    Raises:
      LayoutError: if it is not (batch, frames, height, width, 3), or the
        frames are not 1 + temporal_stride * k, or a size not a multiple of
        the spatial stride.
    """
    model_lib.check_video_shape(self.spec, signal.shape)
    return np.asarray(from_pixels(signal))

  def encode(
    self,
    signal: Any,
    frames: str = 'refuse',
    log: Callable[[str], None] | None = None,
  ) -> np.ndarray:
    """Encodes any number of clips, a compiled batch at a time.

    Args:
      signal: video_BTHWC, uint8 or float in [-1, 1].
      frames: what happens to another number of frames than 1 +
        temporal_stride * k: 'refuse', 'trim' or 'pad'; see
        `tokenizers.frame_counts`. `decode` with `num_frames` returns the
        original number of a padded clip.
      log: receives the line that says what is trimmed or padded.

    Returns:
      int32 ids_BTHW.

    Raises:
      LayoutError: see `prepare`.
    """
    signal = np.asarray(signal)
    if frames != 'refuse' and signal.ndim == 5:
      fitted = frame_counts.fit(self.spec, signal.shape[1], frames)
      if log is not None and fitted.notice:
        log(fitted.notice)
      signal = fitted.apply(signal)
    return super().encode(signal)

  def decode(self, ids: Any, num_frames: int | None = None) -> np.ndarray:
    """Decodes grids of local ids to video.

    Args:
      ids: (batch, t, h, w).
      num_frames: frames that the clips had before `encode` padded them; None
        returns all frames.

    Raises:
      LayoutError: if ids are not (batch, t, h, w) or out of range, or are not
        those of padded clips of `num_frames` frames.
    """
    ids = np.asarray(ids, np.int32)
    if ids.ndim != 4:
      raise errors.LayoutError(
        'the visual tokenizer decodes ids of shape (batch, t, h, w); got'
        f' {ids.shape}.'
      )
    if ids.size and (ids.min() < 0 or ids.max() >= self.spec.codebook_size):
      raise errors.LayoutError(
        f'visual ids from {ids.min()} to {ids.max()} are outside the'
        f" tokenizer's 0 to {self.spec.codebook_size - 1}; give local ids."
      )
    video = super().decode(ids)
    if num_frames is None:
      return video
    return frame_counts.cut_back(self.spec, video, num_frames)

  def decode_codes(self, codes_BTHWC: np.ndarray) -> np.ndarray:
    """Decodes codes by their bits, which need not be those of an id.

    Args:
      codes_BTHWC: float32 (batch, t, h, w, bits), from -1 to 1.

    Returns:
      float32 (batch, frames, height, width, 3) in [-1, 1].

    Raises:
      ConfigError: ids of this quantizer have no bits.
    """
    return self._in_batches(
      lambda part: self._decode_codes(self.params, self.place(part)),
      codes_BTHWC,
    )


def from_pixels(video: Any) -> Any:
  """Converts uint8 pixels to float32 in [-1, 1]; floats pass as float32."""
  if video.dtype == np.uint8:
    return video.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
  return video.astype(np.float32)


def to_pixels(video: Any) -> np.ndarray:
  """Converts float video in [-1, 1] to uint8 pixels, clipped and rounded."""
  scaled = (np.asarray(video, np.float32) + 1.0) * 127.5
  return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def init_params(
  config: config_lib.VisualTokenizerConfig,
  rng: jax.Array,
  frames: int = 0,
  height: int = 0,
  width: int = 0,
) -> Any:
  """Draws parameters, boxed with their logical axes.

  Args:
    config: sizes.
    rng: random key.
    frames: frames of the video to trace with; 0 takes the smallest number.
      Parameters do not depend on it.
    height: height of that video; 0 takes the smallest.
    width: width of that video; 0 takes the smallest.
  """
  video = jnp.zeros(
    (
      1,
      frames or 1 + config.temporal_stride,
      height or config.spatial_stride,
      width or config.spatial_stride,
      3,
    )
  )
  return model_lib.VisualTokenizerModel(config).init(rng, video)['params']


def _build(description: Mapping[str, Any], params: Any) -> VisualTokenizer:
  return VisualTokenizer(config_lib.from_description(description), params)


interface.register(VisualTokenizer.kind, _build)
