"""Tests of clips in chunks and frames in tiles, through the networks."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.core import errors
from videopoet_jax.tokenizers.magvit2 import bundle
from videopoet_jax.tokenizers.magvit2 import tiling
from videopoet_jax.tokenizers.quantizers import lfq

_STRIDES = [(8, 4), (4, 2)]
_LATENTS = 12


@functools.cache
def _tokenizer(name, strides, **settings):
  changes = {'spatial_stride': strides[0], 'temporal_stride': strides[1]}
  if name == 'magvit2':
    levels = {8: (1, 1, 2, 2), 4: (1, 1, 2)}[strides[0]]
    changes['channel_multipliers'] = levels
  config = dataclasses.replace(configs.BOTH[name], **changes)
  return bundle.VisualTokenizer(config, configs.drawn(config), **settings)


@functools.cache
def _whole(name, strides):
  """A tokenizer, clips of two cells a side, their ids and these decoded."""
  tokenizer = _tokenizer(name, strides)
  frames = tokenizer.spec.frames(_LATENTS)
  side = 2 * strides[0]
  rng = np.random.default_rng(1)
  video = rng.integers(0, 256, (2, frames, side, side, 3), np.uint8)
  video = video // 2 + video[:, :, :1, :1] // 2
  ids = tokenizer.encode_batch(tokenizer.params, bundle.from_pixels(video))
  pixels = tokenizer.decode_batch(tokenizer.params, ids)
  assert len(np.unique(ids)) > 10
  return tokenizer, video, np.asarray(ids), np.asarray(pixels)


@pytest.mark.parametrize('strides', _STRIDES)
@pytest.mark.parametrize('name', configs.BOTH)
def test_chunks_of_any_lengths_equal_the_whole(name, strides):
  tokenizer, video, ids, pixels = _whole(name, strides)
  encode = jax.jit(tokenizer.encode_chunk)
  decode = jax.jit(tokenizer.decode_chunk)
  stride = strides[1]
  rng = np.random.default_rng(2)
  compositions = [[1, 1, 2, 3, 5], [1, 5, 4, 2]]
  while len(compositions) < 12:
    lengths = [1]
    while sum(lengths) < _LATENTS:
      lengths.append(int(rng.integers(1, min(5, _LATENTS - sum(lengths)) + 1)))
    compositions.append(lengths)
  video = bundle.from_pixels(video)
  for lengths in compositions:
    carries, start = [None, None], 0
    for length in lengths:
      cells = slice(start, start + length)
      frames = slice(
        max(0, 1 + (start - 1) * stride), 1 + (start + length - 1) * stride
      )
      carries[0], found = encode(tokenizer.params, carries[0], video[:, frames])
      np.testing.assert_array_equal(found, ids[:, cells])
      carries[1], found = decode(tokenizer.params, carries[1], ids[:, cells])
      np.testing.assert_allclose(found, pixels[:, frames], rtol=0, atol=1e-5)
      start += length
  # One program for each length, whatever came before.
  assert encode._cache_size() == decode._cache_size() == 6


@pytest.mark.parametrize('name', configs.BOTH)
def test_long_clips_take_two_programs(name):
  _, video, ids, pixels = _whole(name, (8, 4))
  tokenizer = _tokenizer(name, (8, 4), batch_size=1, chunk_frames=17)
  np.testing.assert_array_equal(tokenizer.encode(video), ids)
  decoded = tokenizer.decode(ids)
  np.testing.assert_allclose(decoded, pixels, rtol=0, atol=1e-5)
  parts = list(tokenizer.stream_encode(video[1]))
  assert [len(part) for part in parts] == [5, 4, 3]
  np.testing.assert_array_equal(np.concatenate(parts), ids[1])
  parts = list(tokenizer.stream_decode(parts))
  assert [len(part) for part in parts] == [17, 16, 12]
  np.testing.assert_allclose(
    np.concatenate(parts), pixels[1], rtol=0, atol=1e-5
  )
  codes = np.asarray(lfq.ids_to_codes(ids, tokenizer.config.num_bits))
  decoded = tokenizer.decode_codes(codes)
  np.testing.assert_allclose(decoded, pixels, rtol=0, atol=1e-5)
  # A short video is one chunk, filled up.
  np.testing.assert_array_equal(
    np.concatenate(list(tokenizer.stream_encode(video[0, :1]))), ids[0, :1]
  )
  assert tokenizer._latents_chunk._cache_size() == 2
  assert tokenizer._decode_chunk._cache_size() == 4  # Two of codes.
  assert tokenizer._encode._cache_size() == 0


def test_clips_of_one_chunk_go_whole():
  tokenizer, video, ids, _ = _whole('patch', (4, 2))
  np.testing.assert_array_equal(tokenizer.encode(video), ids)
  whole = jax.jit(tokenizer.decode_batch)
  np.testing.assert_array_equal(
    tokenizer.decode(ids), whole(tokenizer.params, ids)
  )
  assert tokenizer._encode._cache_size() == 1
  assert tokenizer._decode._cache_size() == 1


def test_frames_after_the_last_whole_latent_repeat_the_last():
  _, video, ids, _ = _whole('patch', (8, 4))
  tokenizer = _tokenizer('patch', (8, 4), chunk_frames=17)
  filled = np.concatenate([video[:1, :23], video[:1, 22:23].repeat(2, 1)], 1)
  found = np.concatenate(list(tokenizer.stream_encode(video[0, :23])))
  np.testing.assert_array_equal(found, tokenizer.encode(filled)[0])
  np.testing.assert_array_equal(found[:6], ids[0, :6])


def test_tiles_of_a_large_frame():
  # No norm of this architecture spans a frame. Latent blocks see two cells to
  # each side, so what is further from a tile's edge is that of the whole frame.
  whole = _tokenizer('patch', (4, 2), tiling=None)
  tiled = _tokenizer(
    'patch', (4, 2), chunk_frames=5, tiling=tiling.Tiling(48, 48, 16)
  )
  rng = np.random.default_rng(3)
  video = rng.integers(0, 256, (1, 9, 24, 80, 3), np.uint8)
  ids, found = whole.encode(video), tiled.encode(video)
  assert found.shape == ids.shape == (1, 5, 6, 20)
  # Tiles of 12 cells begin at 0 and 8.
  inner = [*range(8), *range(12, 20)]
  np.testing.assert_array_equal(found[..., inner], ids[..., inner])
  pixels, decoded = whole.decode(ids), tiled.decode(ids)
  assert decoded.shape == pixels.shape == video.shape
  inner = [*range(32), *range(48, 80)]
  np.testing.assert_allclose(
    decoded[..., inner, :], pixels[..., inner, :], rtol=0, atol=1e-5
  )
  streamed = np.concatenate(list(tiled.stream_encode(video[0])))
  np.testing.assert_array_equal(streamed, found[0])
  streamed = np.concatenate(list(tiled.stream_decode(ids[0])))
  np.testing.assert_allclose(streamed, decoded[0], rtol=0, atol=1e-5)


def test_impossible_chunks_are_refused():
  tokenizer = _tokenizer('patch', (8, 4))
  video = np.zeros((1, 5, 8, 8, 3), np.float32)
  carry, _ = jax.eval_shape(
    tokenizer.encode_chunk, tokenizer.params, None, video
  )
  with pytest.raises(errors.LayoutError, match='temporal stride, 4'):
    jax.eval_shape(tokenizer.encode_chunk, tokenizer.params, carry, video)
  with pytest.raises(errors.LayoutError, match='1 \\+ 4 k frames'):
    tokenizer.encode_chunk(tokenizer.params, None, video[:, 1:])
  with pytest.raises(errors.LayoutError, match='height 9'):
    next(tokenizer.stream_encode(np.zeros((1, 9, 8, 3), np.uint8)))
  with pytest.raises(errors.LayoutError, match='outside'):
    next(tokenizer.stream_decode(np.full((1, 1, 1), 64)))
  small = bundle.VisualTokenizer(
    tokenizer.config, tokenizer.params, chunk_frames=4
  )
  with pytest.raises(errors.ConfigError, match='at least 5'):
    small.encode(video)
