"""Low-rank adapters: the sum that training and export share."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.core import low_rank


def _draw(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_matrix_and_its_adapter():
  kernel, a, b = _draw(5, 3), _draw(5, 2, seed=1), _draw(2, 3, seed=2)
  merged = low_rank.merge(kernel, {'a': a, 'b': b})
  np.testing.assert_allclose(merged, kernel + a @ b, rtol=1e-6)
  assert merged.dtype == np.float32


@pytest.mark.parametrize(
  ('rows', 'columns', 'layers'),
  [
    ((4,), (2, 3), ()),
    ((2, 3), (4,), ()),
    ((4,), (2, 3), (5,)),
    ((2, 3), (4,), (5,)),
    ((4,), (3,), (5,)),
  ],
)
def test_axes_are_rows_columns_and_layers(rows, columns, layers):
  kernel = _draw(*layers, *rows, *columns)
  adapter = {
    'a': _draw(*layers, *rows, 2, seed=1),
    'b': _draw(*layers, 2, *columns, seed=2),
  }
  merged = low_rank.merge(kernel, adapter)
  assert merged.shape == kernel.shape
  for index in np.ndindex(*layers):
    product = np.tensordot(adapter['a'][index], adapter['b'][index], 1)
    np.testing.assert_allclose(
      merged[index], kernel[index] + product, rtol=1e-5, atol=1e-6
    )


def test_a_merged_matrix_keeps_its_type():
  adapter = {'a': _draw(4, 1), 'b': _draw(1, 4)}
  merged = low_rank.merge(_draw(4, 4).astype(np.float16), adapter)
  assert merged.dtype == np.float16


def test_the_scale_is_alpha_over_rank_and_acts_on_a_once():
  config = low_rank.LowRankConfig(rank=4, alpha=6.0)
  assert config.scale == 1.5
  tree = {'x': {'kernel': {'a': _draw(3, 2), 'b': _draw(2, 3)}}}
  found = low_rank.scaled(tree, config.scale)['x']['kernel']
  np.testing.assert_allclose(found['a'], 1.5 * tree['x']['kernel']['a'])
  assert found['b'] is tree['x']['kernel']['b']
  assert found['a'].dtype == np.float32


def test_the_defaults_leave_the_product_as_it_is():
  config = low_rank.LowRankConfig()
  assert (config.rank, config.alpha, config.scale) == (8, 8.0, 1.0)


def test_a_tree_is_merged_where_it_has_adapters_only():
  params = {'mlp': {'up': _draw(3, 4), 'down': _draw(4, 3)}, 'norm': _draw(3)}
  adapter = {'a': _draw(3, 1), 'b': _draw(1, 4)}
  merged = low_rank.merge_tree(params, {'mlp': {'up': adapter}}, 2.0)
  np.testing.assert_allclose(
    merged['mlp']['up'],
    params['mlp']['up'] + 2.0 * adapter['a'] @ adapter['b'],
    rtol=1e-5,
  )
  assert merged['mlp']['down'] is params['mlp']['down']
  assert merged['norm'] is params['norm']
  # The trees that were given are left as they are.
  assert params['mlp']['up'] is not merged['mlp']['up']
  np.testing.assert_array_equal(params['mlp']['up'], _draw(3, 4))


def test_what_an_adapter_is():
  assert low_rank.is_adapter({'a': 1, 'b': 2})
  assert not low_rank.is_adapter({'a': 1})
  assert not low_rank.is_adapter({'a': 1, 'b': 2, 'c': 3})
  assert not low_rank.is_adapter('ab')


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'rank': 0}, 'rank is 0'),
    ({'alpha': 0.0}, 'alpha is 0.0'),
    ({'alpha': float('inf')}, 'alpha is inf'),
    ({'alpha': float('nan')}, 'alpha is nan'),
    ({'matrices': '('}, 'which is no pattern'),
    ({'matrices': None}, 'which is no pattern'),
  ],
)
def test_impossible_configs_are_refused(fields, message):
  with pytest.raises(errors.ConfigError, match=message):
    low_rank.LowRankConfig(**fields)
  low_rank.LowRankConfig(rank=1, alpha=1e-9)
