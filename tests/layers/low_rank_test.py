"""A module's parameters with the adapters that a run trains."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.layers import low_rank


class _Layer(nn.Module):
  """Shows its kernel as an adapter changes it."""

  @nn.compact
  def __call__(self):
    kernel = self.param('kernel', nn.initializers.ones, (3, 2))
    other = self.param('other', nn.initializers.ones, (3, 2))
    return (
      low_rank.adapted(self, 'kernel', kernel),
      low_rank.adapted(self, 'other', other),
    )


_PARAMS = {'kernel': jnp.full((3, 2), 5.0), 'other': jnp.full((3, 2), 7.0)}
_ADAPTER = {'a': jnp.arange(3.0)[:, None], 'b': jnp.array([[1.0, 10.0]])}


def test_plain_parameters_are_as_they_are():
  variables = low_rank.variables(_PARAMS)
  assert set(variables) == {'params'}
  kernel, other = _Layer().apply(variables)
  assert (kernel == 5).all() and (other == 7).all()


def test_an_adapter_is_added_to_its_matrix_alone():
  adapted = low_rank.Adapted(_PARAMS, {'kernel': _ADAPTER})
  variables = low_rank.variables(adapted)
  assert set(variables) == {'params', low_rank.COLLECTION}
  kernel, other = _Layer().apply(variables)
  np.testing.assert_array_equal(kernel, [[5, 5], [6, 15], [7, 25]])
  assert (other == 7).all()


def test_gradients_reach_the_adapter_and_both_factors():
  def loss(adapters):
    adapted = low_rank.Adapted(_PARAMS, adapters)
    return _Layer().apply(low_rank.variables(adapted))[0].sum()

  slope = jax.grad(loss)({'kernel': _ADAPTER})['kernel']
  np.testing.assert_array_equal(slope['a'], [[11]] * 3)
  np.testing.assert_array_equal(slope['b'], [[3, 3]])
