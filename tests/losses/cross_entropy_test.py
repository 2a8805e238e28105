"""Chunked cross-entropy against Optax's, values and gradients."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from videopoet_jax.losses import cross_entropy

_SIZES = ((8, 8), (16, 13), (8, 5))  # (rows, rows in use) of each table.
_WIDTH, _BATCH, _LENGTH = 6, 2, 11


def _problem(number_of_tables):
  generator = np.random.default_rng(0)
  weights, starts, start = [], [], 0
  for rows, _ in _SIZES[:number_of_tables]:
    weights.append(jnp.asarray(generator.normal(size=(rows, _WIDTH))))
    starts.append(start)
    start += rows
  used = np.concatenate([s + np.arange(u) for s, (_, u) in zip(starts, _SIZES)])
  hidden = jnp.asarray(generator.normal(size=(_BATCH, _LENGTH, _WIDTH)))
  labels = generator.choice(used, (_BATCH, _LENGTH))
  return hidden, weights, starts, used, labels


@pytest.mark.parametrize('number_of_tables', [1, 3])
@pytest.mark.parametrize('chunk_size', [0, 4])
@pytest.mark.parametrize('soft_cap', [0.0, 5.0])
def test_equals_optax(number_of_tables, chunk_size, soft_cap):
  hidden, weights, starts, used, labels = _problem(number_of_tables)

  def ours(hidden, weights):
    tables = [
      cross_entropy.Table(w, s, u)
      for w, s, (_, u) in zip(weights, starts, _SIZES)
    ]
    result = cross_entropy.cross_entropy(
      hidden,
      jnp.asarray(labels),
      tables,
      chunk_size=chunk_size,
      soft_cap=soft_cap,
    )
    return result.loss_BT.mean() + 0.1 * jnp.square(result.log_z_BT).mean(), (
      result
    )

  def theirs(hidden, weights):
    logits = hidden @ jnp.concatenate(weights)[used].T
    if soft_cap:
      logits = soft_cap * jnp.tanh(logits / soft_cap)
    local = jnp.asarray(np.searchsorted(used, labels))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, local)
    log_z = jax.nn.logsumexp(logits, axis=-1)
    return losses.mean() + 0.1 * jnp.square(log_z).mean(), (losses, logits)

  both = {'has_aux': True, 'argnums': (0, 1)}
  (value, result), grads = jax.jit(jax.value_and_grad(ours, **both))(
    hidden, weights
  )
  (expected, (losses, logits)), expected_grads = jax.value_and_grad(
    theirs, **both
  )(hidden, weights)
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  np.testing.assert_allclose(result.loss_BT, losses, rtol=1e-5, atol=1e-5)
  chex.assert_trees_all_close(grads, expected_grads, atol=1e-5)
  right = np.asarray(used[np.argmax(logits, axis=-1)] == labels)
  np.testing.assert_array_equal(result.correct_BT, right)


def test_a_window_of_rows_is_a_softmax_over_them():
  hidden, (weight,), _, _, _ = _problem(1)
  labels = np.random.default_rng(1).integers(100, 103, (_BATCH, _LENGTH))
  window = cross_entropy.Table(weight, 100, 3, first=4)
  part = cross_entropy.Table(weight[4:7], 100, 3)

  def loss(table, hidden):
    result = cross_entropy.cross_entropy(hidden, labels, [table])
    return jnp.sum(result.loss_BT)

  for found, wanted in zip(
    jax.value_and_grad(loss, argnums=1)(window, hidden),
    jax.value_and_grad(loss, argnums=1)(part, hidden),
    strict=True,
  ):
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_logits_of_a_table_by_hand():
  weight = jnp.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0]])
  hidden = jnp.asarray([[1.0, 3.0], [2.0, -1.0]])
  logits = cross_entropy.table_logits(hidden, cross_entropy.Table(weight, 7, 4))
  np.testing.assert_allclose(logits, [[1, 3, 4, 2], [2, -1, 1, 4]])
  capped = cross_entropy.table_logits(
    hidden, cross_entropy.Table(weight, 7, 4), 2.0
  )
  np.testing.assert_allclose(capped, 2 * np.tanh(np.asarray(logits) / 2))
  # Rows 1 and 2 alone, for any number of leading axes.
  part = cross_entropy.table_logits(
    hidden[None, None], cross_entropy.Table(weight, 7, 2, first=1)
  )
  assert part.shape == (1, 1, 2, 4)
  np.testing.assert_allclose(part[0, 0, :, 1:3], logits[:, 1:3])
  assert float(part[..., jnp.asarray([0, 3])].max()) <= -1e30
  # By default the first row is the first that is admitted.
  begin = cross_entropy.table_logits(hidden, cross_entropy.Table(weight, 7, 1))
  assert float(begin[:, 1:].max()) <= -1e30
  np.testing.assert_allclose(begin[:, 0], logits[:, 0])


def test_logits_are_single_precision_where_states_are_half():
  weight, hidden = jnp.ones((3, 2)), jnp.ones((4, 2), jnp.bfloat16)
  logits = cross_entropy.table_logits(hidden, cross_entropy.Table(weight, 0, 3))
  assert logits.dtype == jnp.float32


def test_by_default_logits_are_whole_and_not_capped():
  hidden, (weight,), _, _, labels = _problem(1)
  table = cross_entropy.Table(10 * weight, 0, 8)
  found = cross_entropy.cross_entropy(hidden, jnp.asarray(labels), [table])
  logits = 10 * np.asarray(hidden) @ np.asarray(weight).T
  wanted = optax.softmax_cross_entropy_with_integer_labels(
    logits, jnp.asarray(labels)
  )
  np.testing.assert_allclose(found.loss_BT, wanted, rtol=1e-4, atol=1e-4)


def test_equal_logits_count_as_correct():
  table = cross_entropy.Table(jnp.zeros((4, _WIDTH)), 0, 4)
  labels = jnp.asarray([[0, 3]])
  found = cross_entropy.cross_entropy(jnp.ones((1, 2, _WIDTH)), labels, [table])
  assert np.asarray(found.correct_BT).all()
  np.testing.assert_allclose(found.loss_BT, np.log(4), rtol=1e-6)
  np.testing.assert_allclose(found.log_z_BT, np.log(4), rtol=1e-6)


@pytest.mark.parametrize(
  ('length', 'chunk_size', 'chunks'),
  [
    (11, 0, [11]),
    (11, 11, [11]),
    (11, 12, [11]),
    (11, 10, [6, 6]),  # As even as can be.
    (11, 4, [4, 4, 4]),
    (12, 5, [4, 4, 4]),
    (11, 1, [1] * 11),
  ],
)
def test_positions_are_taken_in_even_chunks(
  monkeypatch, length, chunk_size, chunks
):
  lengths = []
  chunk = cross_entropy._chunk

  def spy(hidden, *arguments):
    lengths.append(hidden.shape[1])
    return chunk(hidden, *arguments)

  monkeypatch.setattr(cross_entropy, '_chunk', spy)
  table = cross_entropy.Table(jnp.zeros((8, _WIDTH)), 0, 8)
  found = cross_entropy.cross_entropy(
    jnp.zeros((2, length, _WIDTH)),
    jnp.zeros((2, length), jnp.int32),
    [table],
    chunk_size=chunk_size,
  )
  assert set(lengths) == set(chunks)
  assert found.loss_BT.shape == (2, length)
  loops = jax.make_jaxpr(
    lambda hidden: cross_entropy.cross_entropy(
      hidden,
      jnp.zeros((2, length), jnp.int32),
      [table],
      chunk_size=chunk_size,
    )
  )(jnp.zeros((2, length, _WIDTH)))
  scans = [e for e in loops.eqns if e.primitive.name == 'scan']
  assert [e.params['length'] for e in scans] == (
    [len(chunks)] if len(chunks) > 1 else []
  )


def _temporaries(length, chunk_size):
  """Bytes that value and gradients need beside arguments and results."""
  rows, width = 4096, 8

  def loss(hidden, weight, labels):
    table = cross_entropy.Table(weight, 0, rows)
    result = cross_entropy.cross_entropy(
      hidden, labels, [table], chunk_size=chunk_size
    )
    return jnp.mean(result.loss_BT)

  shapes = (
    jax.ShapeDtypeStruct((2, length, width), jnp.float32),
    jax.ShapeDtypeStruct((rows, width), jnp.float32),
    jax.ShapeDtypeStruct((2, length), jnp.int32),
  )
  compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*shapes).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def test_memory_does_not_grow_with_positions_times_vocabulary():
  logits_of_a_position = 4096 * 4
  short, long = _temporaries(32, 16), _temporaries(256, 16)
  # What grows is of the hidden states' width, a five hundredth of the logits.
  assert long - short < 0.02 * 2 * (256 - 32) * logits_of_a_position
  whole = _temporaries(256, 0)
  assert whole > 2 * 256 * logits_of_a_position > 4 * long


@pytest.mark.parametrize('shape', [(1, 4), (2, 1), (2, 3), (2, 4, 1)])
def test_labels_are_not_broadcast(shape):
  table = cross_entropy.Table(jnp.zeros((8, _WIDTH)), 0, 8)
  hidden, labels = jnp.zeros((2, 4, _WIDTH)), jnp.zeros(shape, jnp.int32)
  with pytest.raises(AssertionError, match='rank|shape'):
    cross_entropy.cross_entropy(hidden, labels, [table])
