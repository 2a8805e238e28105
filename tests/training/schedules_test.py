"""Learning rates over a run, against values that can be said by hand."""

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.training import schedules


def _curve(total=100, **options):
  schedule = schedules.create(schedules.ScheduleConfig(**options), 2.0, total)
  return np.asarray(jax.vmap(schedule)(jnp.arange(total)))


def test_schedules():
  cosine = _curve(name='cosine', warmup_steps=10, final=0.1)
  assert cosine[0] == pytest.approx(0.2)
  assert cosine[9] == pytest.approx(2.0)
  assert cosine[55] == pytest.approx(1.1, abs=0.02)
  assert cosine[-1] == pytest.approx(0.2, abs=0.01)
  wsd = _curve(name='wsd', warmup_steps=10, decay_share=0.2)
  assert (wsd[10:80] == 2.0).all()
  assert wsd[90] == pytest.approx(1.0)
  assert wsd[-1] == pytest.approx(0.1)
  root = _curve(name='inverse_sqrt', warmup_steps=4)
  assert root[15] == pytest.approx(1.0)
  assert (_curve(name='constant', warmup_steps=0) == 2.0).all()
  # A run shorter than its warm-up still trains.
  assert _curve(total=3, name='cosine', warmup_steps=50).max() == 2.0


def test_the_warm_up_rises_evenly_from_the_first_step():
  curve = _curve(name='constant', warmup_steps=4)
  np.testing.assert_allclose(curve[:6], [0.5, 1.0, 1.5, 2.0, 2.0, 2.0])


def test_cosine_is_half_way_in_the_middle_and_final_at_the_end():
  config = schedules.ScheduleConfig('cosine', warmup_steps=2, final=0.2)
  schedule = schedules.create(config, 1.0, 12)
  found = [float(schedule(step)) for step in (2, 7, 12, 99)]
  # Half of the wave, then its end, which is kept.
  np.testing.assert_allclose(found, [1.0, 0.6, 0.2, 0.2], rtol=1e-6)


def test_wsd_falls_linearly_over_its_share():
  config = schedules.ScheduleConfig(
    'wsd', warmup_steps=1, final=0.5, decay_share=0.4
  )
  schedule = schedules.create(config, 1.0, 10)
  found = [float(schedule(step)) for step in (6, 7, 8, 9, 10, 30)]
  np.testing.assert_allclose(
    found, [1.0, 0.875, 0.75, 0.625, 0.5, 0.5], rtol=1e-6
  )


def test_inverse_sqrt_is_the_root_of_warm_up_over_step():
  curve = _curve(name='inverse_sqrt', warmup_steps=9)
  steps = np.arange(100)
  wanted = 2 * np.minimum((steps + 1) / 9, np.sqrt(9 / (steps + 1)))
  np.testing.assert_allclose(curve, wanted, rtol=1e-6)


_STEPS = jnp.arange(20, dtype=jnp.float32)


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(
  st.sampled_from(schedules.SCHEDULES),
  st.integers(0, 30),
  st.integers(1, 20),
  st.floats(0, 1),
)
def test_a_rate_lies_between_0_and_the_peak(name, warmup, total, final):
  config = schedules.ScheduleConfig(name, warmup, final)
  # Always as many steps, so that JAX compiles each operation once.
  curve = np.asarray(schedules.create(config, 3.0, total)(_STEPS))[:total]
  assert (curve > 0).all() or final == 0
  assert (curve >= 0).all() and (curve <= 3.0 + 1e-6).all()
  assert curve.max() >= 3.0 * (1 - 1e-6) or name == 'cosine'


@pytest.mark.parametrize(
  ('field', 'value'),
  [
    ('warmup_steps', -1),
    ('final', -0.1),
    ('final', 1.1),
    ('decay_share', 1.5),
    ('decay_share', float('nan')),
  ],
)
def test_values_outside_are_refused(field, value):
  with pytest.raises(errors.ConfigError, match=f'ScheduleConfig.{field} is'):
    schedules.ScheduleConfig(**{field: value})


def test_bounds_themselves_are_allowed():
  schedules.ScheduleConfig(warmup_steps=0, final=0.0, decay_share=1.0)
