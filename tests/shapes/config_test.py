"""Configs of shapes in motion that make no sense are refused."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.shapes import config as shapes_config


@pytest.mark.parametrize(
  'change',
  [
    {'edges': 'wrap'},
    {'ground': 'grass'},
    {'min_shapes': 2},
    {'max_shapes': 3},
    {'frames': 0},
    {'max_radius': 12.0},
  ],
)
def test_impossible_configs_are_refused(change):
  with pytest.raises(errors.ConfigError, match='ShapesConfig'):
    shapes_config.ShapesConfig(**change)
