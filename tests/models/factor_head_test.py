"""Two factors of an id equal one softmax over all ids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.models import factor_head
from videopoet_jax.parallel import rules

_HIGH, _LOW, _WIDTH = 2, 3, 4


def _head(**fields):
  head = factor_head.FactorHead(_HIGH, _LOW, _WIDTH, **fields)
  shapes = jax.eval_shape(
    lambda key: head.init(key, jnp.zeros((1, _WIDTH)), method='first'),
    jax.random.key(0),
  )
  draw = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: jnp.asarray(draw.normal(size=leaf.shape), jnp.float32),
    rules.unbox(shapes['params']),
  )

  def call(method, *args, **options):
    return head.apply({'params': params}, *args, method=method, **options)

  return call, params


_HIDDEN = np.random.default_rng(1).normal(size=(2, 3, _WIDTH))
_HIDDEN = _HIDDEN.astype(np.float32)


def _log_softmax(logits):
  logits = logits - logits.max(axis=-1, keepdims=True)
  return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def _log_probabilities(params, hidden, soft_cap=0.0):
  """All ids of one position, by the formula."""

  def cap(logits):
    return soft_cap * np.tanh(logits / soft_cap) if soft_cap else logits

  first = _log_softmax(cap(params['first_table'] @ hidden))
  found = []
  for high in range(2**_HIGH):
    mixed = hidden @ params['mix'] + params['given_table'][high]
    given = hidden + mixed / (1 + np.exp(-mixed))
    second = _log_softmax(cap(params['second_table'] @ given))
    found.append(first[high] + second)
  return np.concatenate(found)


@pytest.mark.parametrize('soft_cap', [0.0, 2.0])
def test_the_loss_is_that_of_one_softmax_over_all_ids(soft_cap):
  call, params = _head(soft_cap=soft_cap)
  params = jax.tree.map(np.asarray, params)
  labels = np.array([[0, 7, 31], [8, 20, 15]], np.int32)
  result = call(
    'loss', jnp.asarray(_HIDDEN), jnp.asarray(labels), soft_cap=soft_cap
  )
  for place in np.ndindex(2, 3):
    every = _log_probabilities(params, _HIDDEN[place], soft_cap)
    assert np.exp(every).sum() == pytest.approx(1, rel=1e-5)
    assert float(result.loss_BT[place]) == pytest.approx(
      -every[labels[place]], rel=1e-4
    )


def test_the_logits_are_those_of_the_loss():
  call, _ = _head()
  hidden = jnp.asarray(_HIDDEN[0])
  first = np.asarray(call('first', hidden))
  assert first.shape == (3, 4) and first.dtype == np.float32
  labels = np.array([5, 17, 30])
  second = np.asarray(call('second', hidden, jnp.asarray(labels >> _LOW)))
  assert second.shape == (3, 8)
  rows = np.arange(3)
  wanted = -(
    _log_softmax(first)[rows, labels >> _LOW]
    + _log_softmax(second)[rows, labels & 7]
  )
  result = call('loss', hidden[None], jnp.asarray(labels)[None])
  np.testing.assert_allclose(result.loss_BT[0], wanted, rtol=1e-4)
  # The squares of both denominators.
  both = [np.log(np.exp(x).sum(-1)) for x in (first, second)]
  np.testing.assert_allclose(
    result.log_z_BT[0] ** 2, both[0] ** 2 + both[1] ** 2, rtol=1e-4
  )


def test_an_id_is_right_where_both_factors_are():
  call, _ = _head()
  hidden = jnp.asarray(_HIDDEN[:1])
  high = np.asarray(call('first', hidden[0])).argmax(-1)
  low = np.asarray(call('second', hidden[0], jnp.asarray(high))).argmax(-1)
  best = high * 8 + low

  def correct(labels):
    labels = jnp.asarray(labels)[None]
    return np.asarray(call('loss', hidden, labels).correct_BT[0])

  assert correct(best).all()
  assert not correct(high * 8 + (low + 1) % 8).any()
  assert not correct((high + 1) % 4 * 8 + low).any()
