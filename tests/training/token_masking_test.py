"""What masked-token training hides and disturbs."""

import jax
import numpy as np

from videopoet_jax.training import token_masking


def test_counts_follow_the_cosine_from_one_to_all():
  ratios = np.array([0.0, 0.5, 2 / 3, 0.99, 1.0], np.float32)
  found = token_masking.hidden_counts(ratios, 80)
  expected = [80, 57, 40, 2, 1]  # ceil(80 cos(pi r / 2)), at least 1.
  np.testing.assert_array_equal(found, expected)


def test_hidden_places_are_as_many_as_drawn_and_anywhere():
  rows = 2000
  hidden = np.asarray(
    token_masking.draw_hidden(jax.random.key(0), (rows, 3, 2, 2))
  )
  counts = hidden.reshape(rows, -1).sum(1)
  assert counts.min() == 1 and counts.max() == 12
  # The mean of the cosine is 2 / pi; rounding up adds about a half of 12.
  assert abs(counts.mean() / 12 - (2 / np.pi + 0.5 / 12)) < 0.02
  # Every place equally often.
  np.testing.assert_allclose(hidden.mean(0), counts.mean() / 12, atol=0.05)


def test_so_many_examples_have_all_hidden():
  hidden = np.asarray(
    token_masking.draw_hidden(jax.random.key(0), (8000, 5, 8, 8), 0.4)
  )
  whole = hidden.reshape(8000, -1).all(1)
  # Of the others only ratios below 5 % hide all 320: 2 / pi acos(319 / 320).
  assert abs(whole.mean() - (0.4 + 0.6 * 0.0503)) < 0.016
  assert 0.3 < (hidden[~whole].mean()) < 2 / np.pi


def test_resampled_shares_differ_by_example_and_stay_below_the_most():
  ids = np.full((500, 4, 8, 8), 5, np.int32)
  found = np.asarray(
    token_masking.resample(jax.random.key(1), ids, 64, most=0.4)
  )
  assert found.min() >= 0 and found.max() < 64
  shares = (found != 5).reshape(500, -1).mean(1)
  # Even from 0 to 0.4, but for the 1 of 64 that is drawn as it was.
  np.testing.assert_allclose(shares.mean(), 0.2 * 63 / 64, atol=0.02)
  np.testing.assert_allclose(shares.std(), 0.4 / np.sqrt(12), atol=0.02)
  assert shares.max() < 0.5
  values = np.bincount(found[found != 5], minlength=64)
  assert (np.delete(values, 5) > 0).all()


def test_no_noise_leaves_ids_as_they_are():
  ids = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
  found = token_masking.resample(jax.random.key(1), ids, 64, most=0.0)
  np.testing.assert_array_equal(found, ids)
