"""Usage and cost of codes, against counting by hand and by chance."""

import math

import numpy as np
import pytest
from scipy import stats

from videopoet_jax.core import errors
from videopoet_jax.evaluation.metrics import codes


def _state(metric, *parts):
  states = [
    metric.add(metric.empty(), metric.measure({'ids': p})) for p in parts
  ]
  return metric.merge(states)


def test_expected_distinct_is_the_mean_over_draws():
  generator = np.random.default_rng(0)
  drawn = [len(np.unique(generator.integers(0, 50, 60))) for _ in range(4000)]
  expected = codes.expected_distinct(50, 60)
  error = np.std(drawn) / math.sqrt(len(drawn))
  assert abs(np.mean(drawn) - expected) < 4 * error
  # Few draws of many codes are nearly all distinct.
  assert codes.expected_distinct(2**30, 1000) == pytest.approx(1000, rel=1e-5)
  assert codes.expected_distinct(4, 0) == 0.0
  assert codes.expected_distinct(1, 3) == 1.0


def test_usage_of_uniform_and_of_few_codes():
  metric = codes.CodebookUsage(4096)
  generator = np.random.default_rng(1)
  uniform = generator.integers(0, 4096, (8, 1000), np.int32)
  # The standard deviation of the number of distinct codes is 0.5 % of it.
  assert metric.compute(_state(metric, uniform)) == pytest.approx(1, abs=0.02)
  half = metric.compute(_state(metric, uniform // 2))
  # 2,048 codes, all touched, where 8,000 draws would touch 3,515.
  assert half == pytest.approx(
    2048 * (1 - math.exp(-8000 / 2048)) / 3515, rel=0.01
  )
  assert math.isnan(metric.compute(metric.empty()))


def test_entropy_is_scipys():
  metric = codes.CodebookEntropy(64)
  ids = np.random.default_rng(2).binomial(63, 0.3, (5, 40)).astype(np.int32)
  expected = stats.entropy(np.bincount(ids.ravel()), base=2)
  assert metric.compute(_state(metric, ids)) == pytest.approx(expected)
  assert metric.compute(_state(metric, np.full((2, 3), 7))) == 0.0


def test_blocks_and_order_do_not_matter():
  metric = codes.CodebookUsage(64)
  ids = np.random.default_rng(3).integers(0, 64, (9, 5), np.int32)
  whole = _state(metric, ids)
  parts = _state(metric, ids[6:], ids[:2], ids[2:6])
  for name, array in whole.items():
    np.testing.assert_array_equal(array, parts[name])
  assert whole['counts'].sum() == 45
  estimate, detail = metric.summarize(whole)
  assert math.isnan(estimate.low) and detail['total_tokens'] == 45
  assert detail['distinct_codes'] == len(np.unique(ids))


def test_bits_per_pixel():
  metric = codes.BitsPerPixel(2**18)
  # MAGVIT-v2: 17 x 128 x 128 pixels are 5 x 16 x 16 ids of 18 bits.
  ids = np.zeros((3, 5 * 16 * 16), np.int32)
  pixels = np.full(3, 17 * 128 * 128)
  measured = metric.measure({'ids': ids, 'pixels': pixels})
  value = metric.compute(metric.add(metric.empty(), measured))
  assert value == pytest.approx(18 * 1280 / 278528)


def test_the_codebook_is_not_part_of_the_metric():
  for kind in (codes.CodebookUsage, codes.CodebookEntropy, codes.BitsPerPixel):
    assert kind(2).fingerprint == kind(64).fingerprint
  assert (
    codes.CodebookUsage(2).fingerprint != codes.CodebookEntropy(2).fingerprint
  )


def test_ids_beyond_the_codebook_are_refused():
  with pytest.raises(errors.DataError, match="the tokenizer's 4 codes"):
    codes.CodebookUsage(4).measure({'ids': np.array([[4]])})
  with pytest.raises(errors.DataError, match='ids'):
    codes.CodebookUsage(4).measure({})
