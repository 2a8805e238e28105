"""Tests of chunks, on a causal code that is computed by hand."""

import itertools

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers.magvit2 import chunks
from videopoet_jax.tokenizers.magvit2 import tiling

_STRIDE = 4
_SPEC = specs.VisualSpec(temporal_stride=_STRIDE, spatial_stride=1)
_MOSAIC = tiling.Mosaic(tiling.whole_frame(2, 3), given=1, made=1)


def _step(carry, chunk):
  """Latent i is the sum of frames 0 to 4 i."""
  sums = np.cumsum(chunk, axis=1) + (0 if carry is None else carry)
  first = 0 if carry is None else _STRIDE - 1
  return sums[:, -1:], sums[:, first::_STRIDE]


def _coder(latents):
  later = latents * _STRIDE
  return chunks.Coder(
    _step, 1 + later, later, lambda n: chunks.latents_of(_SPEC, n)
  )


def _clips(frames):
  rng = np.random.default_rng(frames)
  return rng.integers(0, 9, (2, frames, 2, 3))


@pytest.mark.parametrize('latents', [1, 2, 3, 5])
def test_any_length_in_chunks_of_any_length(latents):
  for frames in range(1, 60):
    clips = _clips(frames)
    # The last latent frame holds the last frame repeated where it is not full.
    missing = -(frames - 1) % _STRIDE
    full = np.pad(clips, ((0, 0), (0, missing), (0, 0), (0, 0)), 'edge')
    expected = np.cumsum(full, axis=1)[:, ::_STRIDE]
    assert chunks.latents_of(_SPEC, frames) == expected.shape[1]
    np.testing.assert_array_equal(
      chunks.run(_coder(latents), _MOSAIC, clips), expected
    )
    parts = list(
      chunks.stream(_coder(latents), lambda _: _MOSAIC, clips[0], rank=2)
    )
    assert all(len(part) == latents for part in parts[1:-1])
    np.testing.assert_array_equal(np.concatenate(parts), expected[0])


def test_all_chunks_but_the_first_have_one_length():
  sizes = [
    (chunk.shape[1], length) for chunk, length in chunks.split(_clips(14), 5, 4)
  ]
  assert sizes == [(5, 5), (4, 4), (4, 4), (4, 1)]
  pieces = np.split(_clips(14)[0], [2, 3, 11])
  sizes = [
    (len(chunk), length) for chunk, length in chunks.gather(pieces, 2, 5, 4)
  ]
  assert sizes == [(5, 5), (4, 4), (4, 4), (4, 1)]


def test_frames_are_taken_as_they_come():
  taken = []

  def frames():
    for index in itertools.count():
      taken.append(index)
      yield np.full((2, 3), index)

  stream = chunks.stream(_coder(1), lambda _: _MOSAIC, frames(), rank=2)
  assert not taken
  next(stream)
  assert len(taken) == 5
  next(stream)
  assert len(taken) == 9


def test_a_reader_may_reuse_its_memory():
  memory = np.zeros((2, 3), np.int64)

  def frames():
    for index in range(5):
      memory[...] = index
      yield memory

  ((chunk, _),) = chunks.gather(frames(), 2, 5, 4)
  assert chunk[:, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_other_frames_are_refused():
  with pytest.raises(errors.LayoutError, match=r'frame 2 .*\(3, 2\)'):
    list(chunks.gather([_clips(2)[0], np.zeros((3, 2))], 2, 5, 4))
  with pytest.raises(errors.LayoutError, match=r'\(2, 1, 2, 3\)'):
    list(chunks.gather([_clips(1)], 2, 5, 4))
  assert not list(chunks.gather([], 2, 5, 4))
