"""The ids of the result and of the condition are never taken for each other."""

import numpy as np
import pytest

from tests.models import drawn
from tests.models.super_resolution import small
from videopoet_jax.layers import windowed
from videopoet_jax.models.super_resolution import model as model_lib


@pytest.mark.parametrize('conditioning', windowed.CONDITIONING)
@pytest.mark.parametrize('low_input', [0, 3])
def test_swapping_result_and_condition_changes_what_is_predicted(
  conditioning, low_input
):
  config = small.config(conditioning=conditioning, low_input=low_input)
  # One codebook of both, so that either can hold the other's ids.
  model = model_lib.SuperResolution(config, small.CODES, small.CODES)
  params = drawn.params(model, 0.2)
  given = small.inputs()
  masked = np.zeros_like(given.masked_BTHW)
  masked[:, :, 2:] = True  # The known rows are those that can be swapped.
  given = given._replace(masked_BTHW=masked)

  def hidden(tokens, low):
    inputs = given._replace(tokens_BTHW=tokens, low_BTHW=low)
    return np.asarray(model.apply({'params': params}, *inputs, method='hidden'))

  tokens, low = given.tokens_BTHW, given.low_BTHW
  part = (slice(None), slice(None), slice(0, 2), slice(0, 2))
  swapped, low_swapped = tokens.copy(), low.copy()
  swapped[part], low_swapped[part] = low[part], tokens[part]
  other = small.inputs(seed=5)
  replaced, low_replaced = tokens.copy(), low.copy()
  replaced[part], low_replaced[part] = other.tokens_BTHW[part], other.low_BTHW
  base = hidden(tokens, low)
  swap = np.abs(hidden(swapped, low_swapped) - base)[masked].mean()
  replace = np.abs(hidden(replaced, low_replaced) - base)[masked].mean()
  assert swap > 0.1 * replace > 0
