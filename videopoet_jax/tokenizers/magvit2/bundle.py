"""The visual tokenizer with its weights, behind the common interface."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.layers import causal_conv
from videopoet_jax.tokenizers import frame_counts
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.magvit2 import chunks
from videopoet_jax.tokenizers.magvit2 import config as config_lib
from videopoet_jax.tokenizers.magvit2 import model as model_lib
from videopoet_jax.tokenizers.magvit2 import tiling as tiling_lib

# The longest clips of the paper go whole, so that no program of theirs changes.
CHUNK_FRAMES = 41


class VisualTokenizer(interface.TokenizerBundle):
  """MAGVIT-v2: `encode` takes video_BTHWC, uint8 or float in [-1, 1].

  The ids of the first 1 + temporal_stride * k frames are the first ids of the
  whole clip, and an image is a video of one frame.

  Clips longer than `chunk_frames` are encoded and decoded in chunks that carry
  the state of the convolutions, so the memory for activations does not depend
  on their length. The result is that of the whole clip up to rounding.

  Attributes:
    chunk_frames: most frames that pass through the network at once, rounded
      down to 1 + temporal_stride * k; at least 1 + temporal_stride.
    tiling: how frames above its size are split; None for no such size.
  """

  kind = 'visual_tokenizer'

  def __init__(
    self,
    config: config_lib.VisualTokenizerConfig,
    params: Any,
    batch_size: int = 32,
    chunk_frames: int = CHUNK_FRAMES,
    tiling: tiling_lib.Tiling | None = tiling_lib.Tiling(),  # noqa: B008
  ) -> None:
    self.module = model_lib.VisualTokenizerModel(config)
    super().__init__(config, params, batch_size)
    self.chunk_frames = chunk_frames
    self.tiling = tiling
    self._decode_codes = jax.jit(self.decode_codes_batch)
    self._latents_chunk = jax.jit(functools.partial(self._chunk, 'latents'))
    self._quantize = jax.jit(self._quantize_batch)
    self._decode_chunk = jax.jit(self.decode_chunk)

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

  def encode_chunk(
    self, params: Any, carry: Any, video_BTHWC: jax.Array
  ) -> tuple[Any, jax.Array]:
    """Encodes the next chunk of a batch of clips; pure.

    Args:
      params: the parameters.
      carry: result of the chunk before; None for the first chunk.
      video_BTHWC: float32 in [-1, 1]; 1 + temporal_stride * k frames in the
        first chunk, temporal_stride * k in a later one.

    Returns:
      The carry for the next chunk, arrays as large for any length of chunk, and
      int32 ids (batch, 1 + k or k, h, w).

    Raises:
      LayoutError: the chunk has another number of frames.
    """
    return self._chunk('encode', params, carry, video_BTHWC)

  def decode_chunk(
    self, params: Any, carry: Any, ids: jax.Array
  ) -> tuple[Any, jax.Array]:
    """Decodes the next chunk of a batch of clips; pure.

    Args:
      params: the parameters.
      carry: result of the chunk before; None for the first chunk.
      ids: int32 (batch, t, h, w), or float32 expected bits_BTHWC.

    Returns:
      The carry for the next chunk, and float32 video_BTHWC in [-1, 1] of
      1 + (t - 1) * temporal_stride frames; t * temporal_stride after the first.
    """
    method = 'decode' if ids.ndim == 4 else 'decode_bits'
    return self._chunk(method, params, carry, ids)

  def _chunk(
    self, method: str, params: Any, carry: Any, signal: jax.Array
  ) -> tuple[Any, jax.Array]:
    variables = {'params': params}
    if carry is not None:
      variables[causal_conv.STREAM] = carry
    result, left = self.module.apply(
      variables,
      signal,
      carry is None,
      method=method,
      mutable=[causal_conv.STREAM],
    )
    # Without a convolution over time there is nothing to carry.
    return left.get(causal_conv.STREAM, {}), result

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
    """Encodes any number of clips of any length.

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
    model_lib.check_video_shape(self.spec, signal.shape)
    if not self._is_large(*signal.shape[1:4]):
      return super().encode(signal)
    return self._in_batches(self._encode_large, signal)

  def decode(self, ids: Any, num_frames: int | None = None) -> np.ndarray:
    """Decodes grids of local ids of any length to video.

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
    self._check_ids(ids)
    if self._is_large(*self._size_of(ids)):
      video = self._in_batches(self._decode_large, ids)
    else:
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
    if self._is_large(*self._size_of(codes_BTHWC)):
      return self._in_batches(self._decode_large, codes_BTHWC)
    return self._in_batches(
      lambda part: self._decode_codes(self.params, self.place(part)),
      codes_BTHWC,
    )

  def stream_encode(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Encodes one video as its frames come, holding one chunk of them.

    Args:
      frames: uint8 or float frames (height, width, 3), or arrays of several,
        (frames, height, width, 3). After the last one that frame is repeated
        until the last latent frame is full.

    Yields:
      int32 ids (t, h, w) of each chunk; joined, those of the whole video.

    Raises:
      LayoutError: a frame is not of the first one's size, or of none that the
        tokenizer can take.
    """
    coder = self._encoder(self._chunk_latents)

    def mosaic_of(video_BTHWC: np.ndarray) -> tiling_lib.Mosaic:
      # Any chunk is as the first, or a frame shorter.
      model_lib.check_video_shape(self.spec, (1, 1, *video_BTHWC.shape[2:]))
      return self._encoded_tiles(*video_BTHWC.shape[2:4])

    return chunks.stream(coder, mosaic_of, frames, rank=3)

  def stream_decode(self, ids: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Decodes one video as its ids come, holding one chunk of them.

    Args:
      ids: int32 latent frames (h, w), or arrays of several, (t, h, w).

    Yields:
      float32 video (frames, height, width, 3) in [-1, 1] of each chunk.

    Raises:
      LayoutError: a latent frame is not of the first one's size, or an id is
        out of range.
    """
    coder = self._decoder(self._chunk_latents)

    def mosaic_of(ids_BTHW: np.ndarray) -> tiling_lib.Mosaic:
      self._check_ids(ids_BTHW)
      return self._decoded_tiles(*ids_BTHW.shape[2:4])

    return chunks.stream(coder, mosaic_of, ids, rank=2)

  def _check_ids(self, ids: np.ndarray) -> None:
    if ids.size and (ids.min() < 0 or ids.max() >= self.spec.codebook_size):
      raise errors.LayoutError(
        f'visual ids from {ids.min()} to {ids.max()} are outside the'
        f" tokenizer's 0 to {self.spec.codebook_size - 1}; give local ids."
      )

  @property
  def _chunk_latents(self) -> int:
    """Latent frames of a chunk after the first, which has one more."""
    stride = self.spec.temporal_stride
    if self.chunk_frames <= stride:
      raise errors.ConfigError(
        f'VisualTokenizer.chunk_frames is {self.chunk_frames}; expected at '
        f'least {1 + stride}, two latent frames.'
      )
    return (self.chunk_frames - 1) // stride

  def _size_of(self, cells: np.ndarray) -> tuple[int, int, int]:
    """Frames, height and width of ids or codes."""
    latents, rows, columns = cells.shape[1:4]
    stride = self.spec.spatial_stride
    return self.spec.frames(latents), rows * stride, columns * stride

  def _is_large(self, frames: int, height: int, width: int) -> bool:
    """Whether clips of this size do not pass through the network at once."""
    if self.tiling and self.tiling.splits(height, width):
      return True
    return self.spec.latent_frames(frames) > 1 + self._chunk_latents

  def _tiles(self, rows: int, columns: int) -> Sequence[tiling_lib.Tile]:
    if self.tiling:
      return self.tiling.tiles(rows, columns, self.spec.spatial_stride)
    return tiling_lib.whole_frame(rows, columns)

  def _encoded_tiles(self, height: int, width: int) -> tiling_lib.Mosaic:
    """Tiles of pixels that become latents."""
    stride = self.spec.spatial_stride
    tiles = self._tiles(height // stride, width // stride)
    return tiling_lib.Mosaic(tiles, given=stride, made=1)

  def _decoded_tiles(self, rows: int, columns: int) -> tiling_lib.Mosaic:
    """Tiles of ids or codes that become pixels."""
    tiles = self._tiles(rows, columns)
    return tiling_lib.Mosaic(tiles, given=1, made=self.spec.spatial_stride)

  def _quantize_batch(self, params: Any, latents: jax.Array) -> jax.Array:
    return self.module.apply({'params': params}, latents, method='quantize')

  def _encoder(self, latents: int) -> chunks.Coder:
    """Encoding in chunks of some latent frames, the first of one more."""

    def step(carry: Any, chunk: np.ndarray) -> tuple[Any, jax.Array]:
      video_BTHWC = self.place(np.asarray(from_pixels(chunk)))
      return self._latents_chunk(self.params, carry, video_BTHWC)

    def finish(latents_BTHWC: np.ndarray) -> np.ndarray:
      return np.asarray(self._quantize(self.params, latents_BTHWC))

    spec = self.spec
    later = latents * spec.temporal_stride
    return chunks.Coder(
      step, 1 + later, later, lambda n: chunks.latents_of(spec, n), finish
    )

  def _decoder(self, latents: int) -> chunks.Coder:
    """Decoding in the chunks that `_encoder` makes."""

    def step(carry: Any, chunk: np.ndarray) -> tuple[Any, jax.Array]:
      return self._decode_chunk(self.params, carry, self.place(chunk))

    return chunks.Coder(step, 1 + latents, latents, self.spec.frames)

  def _latents_of_chunks(self, latents: int) -> int:
    """Latent frames of a chunk of a clip, no more than the clip has."""
    return min(self._chunk_latents, max(0, latents - 1))

  def _encode_large(self, video_BTHWC: np.ndarray) -> np.ndarray:
    frames, height, width = video_BTHWC.shape[1:4]
    latents = self._latents_of_chunks(self.spec.latent_frames(frames))
    mosaic = self._encoded_tiles(height, width)
    return chunks.run(self._encoder(latents), mosaic, video_BTHWC)

  def _decode_large(self, cells: np.ndarray) -> np.ndarray:
    latents = self._latents_of_chunks(cells.shape[1])
    mosaic = self._decoded_tiles(*cells.shape[2:4])
    return chunks.run(self._decoder(latents), mosaic, cells)


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
