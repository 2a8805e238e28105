"""Tests of clips with any number of frames."""

from flax import linen as nn
import jax
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.core import errors
from videopoet_jax.core import specs
from videopoet_jax.tokenizers import frame_counts
from videopoet_jax.tokenizers.magvit2 import bundle

_SPEC = specs.VisualSpec(temporal_stride=4)


@pytest.mark.parametrize(
  ('given', 'trimmed', 'padded'),
  [(1, 1, 1), (2, 1, 5), (4, 1, 5), (5, 5, 5), (6, 5, 9), (20, 17, 21)],
)
def test_counts(given, trimmed, padded):
  assert frame_counts.fit(_SPEC, given, 'trim').used == trimmed
  assert frame_counts.fit(_SPEC, given, 'pad').used == padded
  if trimmed == padded:
    assert frame_counts.fit(_SPEC, given).used == given
    assert not frame_counts.fit(_SPEC, given, 'pad').notice
  else:
    with pytest.raises(errors.LayoutError, match='holds 1 . 4 k frames'):
      frame_counts.fit(_SPEC, given)


def test_notices_are_one_line_with_both_numbers():
  assert frame_counts.fit(_SPEC, 20, 'trim').notice == (
    'clips of 20 frames are trimmed to the first 17: the tokenizer holds '
    '1 + 4 k frames'
  )
  assert frame_counts.fit(_SPEC, 20, 'pad').notice == (
    'clips of 20 frames are padded to 21 with copies of the last: the '
    'tokenizer holds 1 + 4 k frames'
  )


def test_frames_are_the_first_or_the_last_repeated():
  video = np.arange(2 * 7).reshape(2, 7)
  trimmed = frame_counts.fit(_SPEC, 7, 'trim').apply(video)
  np.testing.assert_array_equal(trimmed, video[:, :5])
  padded = frame_counts.fit(_SPEC, 7, 'pad').apply(video)
  np.testing.assert_array_equal(padded[:, :7], video)
  np.testing.assert_array_equal(padded[:, 7:], video[:, [6, 6]])


def test_bad_calls_are_refused():
  with pytest.raises(errors.ConfigError, match="did you mean 'trim'"):
    frame_counts.fit(_SPEC, 5, 'trimm')
  for policy in frame_counts.POLICIES:
    with pytest.raises(errors.LayoutError, match='0 frames'):
      frame_counts.fit(_SPEC, 0, policy)
  decoded = np.zeros((1, 9, 1, 1, 3))
  assert frame_counts.cut_back(_SPEC, decoded, 6).shape[1] == 6
  for number in (0, 5, 10):
    with pytest.raises(errors.LayoutError, match='9 decoded frames'):
      frame_counts.cut_back(_SPEC, decoded, number)


@pytest.fixture(scope='module')
def tokenizer():
  params = jax.jit(
    lambda key: nn.unbox(bundle.init_params(configs.PATCH, key))
  )(jax.random.key(0))
  return bundle.VisualTokenizer(configs.PATCH, params)


def test_a_tokenizer_takes_any_count_and_says_so(tokenizer):
  rng = np.random.default_rng(0)
  video = rng.integers(0, 256, (2, 7, 8, 8, 3), np.uint8)
  with pytest.raises(errors.LayoutError, match='use 5 or 9'):
    tokenizer.encode(video)
  said = []
  padded = tokenizer.encode(video, frames='pad', log=said.append)
  trimmed = tokenizer.encode(video, frames='trim', log=said.append)
  assert ['padded to 9' in said[0], 'trimmed to the first 5' in said[1]] == [
    True,
    True,
  ]
  assert len(said) == 2
  assert padded.shape == (2, 3, 1, 1) and trimmed.shape == (2, 2, 1, 1)
  np.testing.assert_array_equal(padded[:, :2], trimmed)
  np.testing.assert_array_equal(trimmed, tokenizer.encode(video[:, :5]))
  whole = tokenizer.decode(padded)
  back = tokenizer.decode(padded, num_frames=7)
  assert whole.shape[1] == 9 and back.shape == video.shape
  np.testing.assert_array_equal(back, whole[:, :7])
  # Nothing is said where nothing is done.
  tokenizer.encode(video[:, :5], frames='pad', log=said.append)
  assert len(said) == 2


def test_refusals_of_shapes_stay(tokenizer):
  for frames in frame_counts.POLICIES:
    with pytest.raises(errors.LayoutError, match='height, width, 3'):
      tokenizer.encode(np.zeros((7, 8, 8, 3), np.uint8), frames=frames)
