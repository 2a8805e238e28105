"""Counts of masked tokens against the formula and its invariants."""

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.inference.super_resolution import mask_schedule

_STEPS = strategies.integers(1, 60)
_NUMBERS = strategies.lists(strategies.integers(0, 5000), min_size=1)
_NAMES = strategies.sampled_from(sorted(mask_schedule.SCHEDULES))


def test_cosine_counts_are_the_formula():
  numbers_B = np.array([1280, 35_840])
  steps_S1 = np.arange(1, 25)[:, None]
  # MaskGIT, section 3.3: gamma(r) = cos(pi r / 2), ceil(N (1 - gamma)) kept.
  kept_SB = np.ceil(numbers_B * (1 - np.cos(np.pi / 2 * steps_S1 / 24)) - 1e-6)
  masked_SB = mask_schedule.still_masked('cosine', 24, numbers_B)
  np.testing.assert_array_equal(numbers_B - masked_SB, kept_SB)


def test_counts_of_a_case_worked_by_hand():
  # 16 cos(pi s / 8) is 14.78, 11.31 and 6.12; a lone token waits for the end.
  counts_SB = mask_schedule.still_masked('cosine', 4, np.array([16, 1, 0]))
  assert counts_SB.tolist() == [[14, 1, 0], [11, 1, 0], [6, 1, 0], [0, 0, 0]]
  assert counts_SB.dtype == np.int32


def test_a_share_of_whole_tokens_is_not_rounded_below_it():
  # 1 - 7 / 10 is a little less than 3 / 10 in binary.
  counts_SB = mask_schedule.still_masked('linear', 10, np.array([10, 1000]))
  assert counts_SB[:, 0].tolist() == list(range(9, -1, -1))
  assert counts_SB[:, 1].tolist() == list(range(900, -1, -100))


def test_one_step_fills_everything():
  for name in mask_schedule.SCHEDULES:
    counts = mask_schedule.still_masked(name, 1, np.array([7, 0]))
    np.testing.assert_array_equal(counts, [[0, 0]])


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(_NAMES, _STEPS, _NUMBERS)
def test_every_step_gets_on_and_the_last_one_ends(name, steps, numbers):
  counts_SB = mask_schedule.still_masked(name, steps, np.array(numbers))
  before_B = np.array(numbers)
  for step, left_B in enumerate(counts_SB):
    # At least one is filled in, but for the one left for the last step.
    last_B = np.minimum(before_B, 0 if step == steps - 1 else 1)
    assert np.all((left_B < before_B) | (left_B == last_B))
    assert np.all(left_B <= before_B) and np.all(left_B >= 0)
    before_B = left_B
  assert not np.any(before_B)


def test_schedules_differ_in_how_much_is_left_for_the_end():
  half = {
    name: int(mask_schedule.still_masked(name, 2, np.array([1000]))[0, 0])
    for name in mask_schedule.SCHEDULES
  }
  assert half == {
    'cosine': 707, 'linear': 500, 'square': 750, 'cubic': 875,
    'square_root': 292,
  }  # fmt: skip


def test_unknown_schedules_and_no_steps_are_refused():
  with pytest.raises(errors.ConfigError, match="did you mean 'cosine'"):
    mask_schedule.still_masked('cosin', 4, np.array([4]))
  with pytest.raises(errors.ConfigError, match='at least 1'):
    mask_schedule.still_masked('cosine', 0, np.array([4]))
