"""Learning rates against closed forms."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.training import schedules

PEAK, STEPS, WARMUP = 0.5, 100, 10


def _rates(name, steps=STEPS, warmup=WARMUP, **fields):
  config = schedules.ScheduleConfig(name, warmup, **fields)
  schedule = schedules.create(config, PEAK, steps)
  return np.array([float(schedule(step)) for step in range(steps + 5)])


@pytest.mark.parametrize('name', schedules.SCHEDULES)
def test_warmup_rises_from_the_first_step_to_the_peak(name):
  rates = _rates(name)
  np.testing.assert_allclose(
    rates[:WARMUP], PEAK * np.arange(1, WARMUP + 1) / WARMUP, rtol=1e-6
  )
  assert (rates <= PEAK * (1 + 1e-6)).all()


@pytest.mark.parametrize('name', schedules.SCHEDULES)
@pytest.mark.parametrize('warmup', [0, 1])
def test_without_warmup_it_begins_at_the_peak(name, warmup):
  assert _rates(name, warmup=warmup)[0] == pytest.approx(PEAK)


def test_cosine_ends_at_its_final_share():
  rates = _rates('cosine', final=0.1)
  progress = (np.arange(WARMUP, STEPS) - WARMUP) / (STEPS - WARMUP)
  expected = PEAK * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * progress)))
  np.testing.assert_allclose(rates[WARMUP:STEPS], expected, rtol=1e-5)
  np.testing.assert_allclose(rates[STEPS:], 0.1 * PEAK, rtol=1e-5)


def test_wsd_is_stable_and_then_falls_linearly():
  rates = _rates('wsd', final=0.0, decay_share=0.2)
  np.testing.assert_allclose(rates[WARMUP:81], PEAK, rtol=1e-6)
  np.testing.assert_allclose(rates[90], PEAK / 2, rtol=1e-5)
  np.testing.assert_allclose(rates[100:], 0, atol=1e-7)


def test_inverse_sqrt_falls_with_the_root_of_the_step():
  rates = _rates('inverse_sqrt')
  np.testing.assert_allclose(rates[39], PEAK / 2, rtol=1e-6)
  np.testing.assert_allclose(rates[89], PEAK / 3, rtol=1e-6)


def test_constant_stays():
  np.testing.assert_allclose(_rates('constant')[WARMUP:], PEAK)


def test_a_run_shorter_than_its_warmup_keeps_one_step_of_the_peak():
  rates = _rates('cosine', steps=4, warmup=100)
  np.testing.assert_allclose(rates[:4], PEAK * np.array([1 / 3, 2 / 3, 1, 1]))


def test_wrong_settings_name_the_field():
  with pytest.raises(errors.ConfigError, match='cosine'):
    schedules.ScheduleConfig('cosin')
  with pytest.raises(errors.ConfigError, match='final'):
    schedules.ScheduleConfig(final=1.5)
