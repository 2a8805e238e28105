"""Settings of a run that make no sense are refused by name."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.training import loop_config


@pytest.mark.parametrize(
  ('field', 'value'),
  [
    ('total_steps', 0),
    ('log_every', 0),
    ('save_every', 0),
    ('keep', 0),
    ('max_skipped_in_a_row', 0),
    ('keep_every', -1),
    ('validate_every', -1),
    ('seed', -1),
    ('seed', 2**32),
    ('ema_decay', -0.1),
    ('ema_decay', 1.0),
  ],
)
def test_values_outside_are_refused(field, value):
  with pytest.raises(errors.ConfigError, match=f'LoopConfig.{field} is'):
    loop_config.LoopConfig(**{field: value})


def test_bounds_themselves_are_allowed():
  loop_config.LoopConfig(
    total_steps=1, log_every=1, save_every=1, keep=1, max_skipped_in_a_row=1,
    seed=2**32 - 1, ema_decay=0.0,
  )  # fmt: skip


def test_the_best_step_needs_validation():
  with pytest.raises(errors.ConfigError, match='validate_every is 0'):
    loop_config.LoopConfig(keep_best='validation/loss')
  loop_config.LoopConfig(keep_best='validation/loss', validate_every=10)
