"""Streamed weighted means, as exact as the sum of all values at once."""

import dataclasses
import math

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from videopoet_jax.evaluation.metrics import interface
from videopoet_jax.evaluation.metrics import sums


def test_sums_keep_what_rounding_takes():
  # Large values that cancel: 2 is left, and a plain sum would say 0.
  values = np.array([1e16, 1.0, -1e16, 1.0])
  states = [sums.add(sums.empty(), values[i : i + 1]) for i in range(4)]
  merged = sums.merge(states)
  assert sums.mean(merged) == 0.5
  two = sums.merge([sums.merge(states[:2]), *states[2:]])
  assert {k: float(v) for k, v in two.items()} == {
    k: float(v) for k, v in merged.items()
  }
  assert sums.mean(sums.add(sums.empty(), np.array([np.inf, 1]))) == math.inf


_numbers = st.floats(-1e12, 1e12)


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(st.lists(st.lists(_numbers, max_size=4), max_size=6))
def test_the_mean_is_that_of_an_exact_sum(blocks):
  states = [sums.add(sums.empty(), np.array(block)) for block in blocks]
  values = [value for block in blocks for value in block]
  found = sums.mean(sums.merge(states))
  if not values:
    assert math.isnan(found)
    return
  wanted = math.fsum(values) / len(values)
  assert found == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_weights():
  state = sums.add(sums.empty(), np.array([1.0, 5.0]), np.array([3, 1]))
  assert sums.mean(state) == 2.0
  assert float(state['weight']) == 4.0
  more = sums.add(state, np.array([[8.0], [8.0]]))
  assert sums.mean(more) == 4.0
  # The state that was added to is left as it is.
  assert sums.mean(state) == 2.0


def test_no_samples_have_no_mean():
  assert math.isnan(sums.mean(sums.empty()))
  assert math.isnan(sums.mean(sums.merge([sums.empty(), sums.empty()])))


@dataclasses.dataclass(frozen=True)
class _Network:
  fingerprint: str


@dataclasses.dataclass(frozen=True)
class _Metric(sums.SampleMean):
  network: _Network
  scale: float = 1.0


def test_a_fingerprint_is_of_settings_and_of_weights():
  prints = [
    _Metric(_Network('a')).fingerprint,
    _Metric(_Network('b')).fingerprint,
    _Metric(_Network('a'), 2.0).fingerprint,
  ]
  assert len(set(prints)) == 3
  assert _Metric(_Network('a'), 1.0).fingerprint == prints[0]


def test_a_metric_adds_merges_and_computes():
  metric = _Metric(_Network('a'))
  measured = {interface.PER_SAMPLE: np.array([1.0, 4.0])}
  plain = metric.add(metric.empty(), measured)
  assert metric.compute(plain) == 2.5
  weighted = {**measured, 'weight': np.array([2.0, 1.0])}
  heavier = metric.add(metric.empty(), weighted)
  assert metric.compute(heavier) == 2.0
  assert metric.compute(metric.merge([plain, heavier])) == pytest.approx(2.2)
