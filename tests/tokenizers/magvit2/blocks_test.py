"""Tests of folding and of the norms."""

import jax
import numpy as np

from videopoet_jax.tokenizers.magvit2 import blocks


def _video(frames=5, channels=4):
  rng = np.random.default_rng(0)
  return rng.normal(size=(2, frames, 4, 6, channels)).astype(np.float32)


def test_space_folds_squares_and_unfolds():
  video = _video()
  folded = blocks.fold_space(video, 2)
  assert folded.shape == (2, 5, 2, 3, 16)
  np.testing.assert_array_equal(
    folded[:, :, 1, 2], video[:, :, 2:4, 4:6].reshape(2, 5, 16)
  )
  np.testing.assert_array_equal(blocks.unfold_space(folded, 2), video)


def test_time_folds_the_first_frame_alone_and_unfolds():
  video = _video()
  folded = blocks.fold_time(video, 4)
  assert folded.shape == (2, 2, 4, 6, 16)
  for copy in range(4):
    np.testing.assert_array_equal(
      folded[:, 0, ..., 4 * copy : 4 * copy + 4], video[:, 0]
    )
    np.testing.assert_array_equal(
      folded[:, 1, ..., 4 * copy : 4 * copy + 4], video[:, 1 + copy]
    )
  np.testing.assert_array_equal(blocks.unfold_time(folded, 4), video)


def test_codes_repeat_to_the_frames_they_hold():
  codes = np.arange(2.0).reshape(1, 2, 1, 1, 1)
  out = np.asarray(blocks.repeat_codes(codes, 4, 2))
  assert out.shape == (1, 5, 2, 2, 1)
  np.testing.assert_array_equal(out[0, :, 0, 0, 0], [0, 1, 1, 1, 1])


def test_group_norm_is_of_one_frame():
  video = _video()
  out = np.asarray(blocks.normalize_groups(video, 2))
  groups = out.reshape(2, 5, 4, 6, 2, 2)
  np.testing.assert_allclose(groups.mean(axis=(2, 3, 5)), 0.0, atol=1e-5)
  np.testing.assert_allclose(groups.std(axis=(2, 3, 5)), 1.0, atol=1e-3)
  alone = blocks.normalize_groups(video[:, 2:3], 2)
  np.testing.assert_allclose(out[:, 2:3], alone, atol=1e-5)


def test_adaptive_norm_follows_the_codes():
  video = _video()
  codes = np.sign(_video(channels=3))
  module = blocks.AdaptiveFrameGroupNorm(2)
  params = module.init(jax.random.key(0), video, codes)['params']
  # Neutral at the start, so that training starts from a plain norm.
  np.testing.assert_allclose(
    module.apply({'params': params}, video, codes),
    blocks.normalize_groups(video, 2),
    atol=1e-6,
  )
  params = jax.tree.map(lambda leaf: leaf + 0.5, params)
  one = module.apply({'params': params}, video, codes)
  other = module.apply({'params': params}, video, -codes)
  assert np.abs(one - other).max() > 0.1
