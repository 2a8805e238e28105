"""All that training changes: to a checkpoint and back, and where it lies."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from videopoet_jax.training import state as state_lib

_PARAMS = {'a': {'kernel': jnp.ones((2, 3))}, 'b': jnp.zeros(4)}
_OPTIMIZER = optax.adamw(0.1)


def _state(keep_ema=True):
  return state_lib.create(_PARAMS, _OPTIMIZER, keep_ema)


def test_a_fresh_state():
  state = _state()
  for name in ('step', 'skipped', 'skipped_in_a_row'):
    counter = getattr(state, name)
    assert counter.dtype == jnp.int32 and counter.shape == () and counter == 0
  # The train step gives every buffer away, so none is shared.
  assert state.ema['b'] is not state.params['b']
  jax.tree.map(np.testing.assert_array_equal, state.ema, state.params)
  assert _state(False).ema is None


def test_the_averaged_parameters_are_used_if_there_are_any():
  state = dataclasses.replace(_state(), ema='averaged')
  assert state_lib.inference_params(state) == 'averaged'
  assert state_lib.inference_params(_state(False)) is _PARAMS


@pytest.mark.parametrize('keep_ema', [True, False])
def test_items_come_back(keep_ema):
  state = _state(keep_ema)
  drawn = np.random.default_rng(0)
  state = jax.tree.map(
    lambda x: jnp.asarray(drawn.integers(1, 99, x.shape), x.dtype), state
  )
  items = state_lib.to_items(state)
  assert set(items) == {'params', 'optimizer'} | (
    {'ema'} if keep_ema else set()
  )
  # Plain arrays by path: nothing of Optax's types is written.
  assert all(isinstance(v, jax.Array) for v in items['optimizer'].values())
  assert {'step', 'skipped', 'skipped_in_a_row'} <= set(items['optimizer'])
  found = state_lib.from_items(items, _state(keep_ema))
  assert jax.tree.structure(found) == jax.tree.structure(state)
  jax.tree.map(np.testing.assert_array_equal, found, state)


def test_paths_of_an_optimizer():
  flat = state_lib.flat_optimizer(_state().optimizer)
  assert {'0:mu:a:kernel', '0:mu:b', '0:nu:b'} <= set(flat)
  assert flat['0:mu:a:kernel'].shape == (2, 3)
  nested = state_lib.nested_optimizer(flat, _state().optimizer)
  assert nested[0].mu['a']['kernel'] is flat['0:mu:a:kernel']


def test_moments_lie_where_their_parameters_do():
  placed = {'a': {'kernel': 'split'}, 'b': 'whole'}
  found = state_lib.shardings(_state(), placed, 'everywhere')
  assert found.params == found.ema == placed
  assert found.step == found.skipped == found.skipped_in_a_row == 'everywhere'
  adam = found.optimizer[0]
  assert adam.mu == adam.nu == placed
  assert adam.count == 'everywhere'
  assert state_lib.shardings(_state(False), placed, 'x').ema is None


def test_what_has_another_shape_is_no_moment():
  shapes = {'b': jnp.zeros(4), 'kernel': jnp.zeros((2, 3))}
  placed = {'b': 'whole', 'kernel': 'split'}
  state = {
    'rows': {'kernel': jnp.zeros(2)},
    'mu': {'kernel': jnp.zeros((2, 3)), 'b': jnp.zeros(4)},
    'other': jnp.zeros(4),
  }
  assert state_lib.beside_parameters(state, shapes, placed, 'rest') == {
    'rows': {'kernel': 'rest'},
    'mu': {'kernel': 'split', 'b': 'whole'},
    'other': 'rest',
  }
