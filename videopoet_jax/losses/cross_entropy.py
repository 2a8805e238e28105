"""Softmax cross-entropy that never holds all logits at once.

With 300,000 ids, the logits of one batch are larger than the model. Positions
are taken in chunks, and each chunk's logits are computed again in the backward
pass. On a mesh the devices that share a batch split the vocabulary instead:
each sees the hidden states of all of them, a chunk at a time, and holds its own
rows of the tables. So neither a table, its gradient nor logits ever cross the
mesh; nothing here gathers along the vocabulary axis: the label's logit is
picked by a comparison and a sum.
"""

from collections.abc import Sequence
import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from videopoet_jax.parallel import manual

_ABSENT = -1e30  # logit of a row that is not admitted.


class Table(NamedTuple):
  """Unembedding rows of consecutive ids.

  Attributes:
    weight_VD: (rows, width).
    start: id of the first admitted row, in the numbering of the labels.
    size: rows admitted; the others are padding or other ids.
    first: the first admitted row.
  """

  weight_VD: jax.Array
  start: int
  size: int
  first: int = 0


class Result(NamedTuple):
  """Result of `cross_entropy` for each position.

  Attributes:
    loss_BT: float32 or wider, negative log likelihood of the label.
    log_z_BT: float32 or wider, logarithm of the softmax's denominator.
    correct_BT: bool, whether no other id has a higher logit.
  """

  loss_BT: jax.Array
  log_z_BT: jax.Array
  correct_BT: jax.Array


def table_logits(
  hidden: jax.Array, table: Table, soft_cap: float = 0.0
) -> jax.Array:
  """Logits (..., rows) of one table, float32 or wider.

  Args:
    hidden: (..., width).
    table: rows; those not admitted get a logit far below all others.
    soft_cap: logits are squashed into (-soft_cap, soft_cap); 0 leaves them.
  """
  logits = jnp.einsum(
    '...d,vd->...v',
    hidden,
    table.weight_VD.astype(hidden.dtype),
    preferred_element_type=jnp.promote_types(hidden.dtype, jnp.float32),
  )
  if soft_cap:
    logits = soft_cap * jnp.tanh(logits / soft_cap)
  rows = table.weight_VD.shape[0]
  if table.size < rows:
    row_V = jnp.arange(rows) - table.first
    admitted_V = (row_V >= 0) & (row_V < table.size)
    shape = (1,) * (logits.ndim - 1) + (rows,)
    logits = jnp.where(admitted_V.reshape(shape), logits, _ABSENT)
  return logits


@jax.custom_vjp
def _shared(hidden_BTD: jax.Array) -> jax.Array:
  """Copies hidden states to every device that the vocabulary is split over.

  The gradient is requested in the sharding of the hidden states, so that the
  devices' shares are summed and scattered in one operation.
  """
  return manual.constrain(hidden_BTD, ('activation_loss_batch', None, None))


def _shared_forward(hidden_BTD: jax.Array) -> tuple[jax.Array, None]:
  return _shared(hidden_BTD), None


def _shared_backward(_: None, cotangent_BTD: jax.Array) -> tuple[jax.Array]:
  axes = ('activation_batch', None, None)
  return (manual.constrain(cotangent_BTD, axes),)


_shared.defvjp(_shared_forward, _shared_backward)


def _chunk(
  hidden_BTD: jax.Array,
  labels_BT: jax.Array,
  tables: Sequence[Table],
  soft_cap: float,
  split_vocabulary: bool,
) -> Result:
  if split_vocabulary:
    hidden_BTD = _shared(hidden_BTD)
  log_z, label_logit, largest = [], [], []
  for table in tables:
    logits_BTV = table_logits(hidden_BTD, table, soft_cap)
    if split_vocabulary:
      logits_BTV = manual.constrain(
        logits_BTV, ('activation_loss_batch', None, 'activation_vocab')
      )
    first_id = table.start - table.first
    ids_11V = (first_id + jnp.arange(logits_BTV.shape[-1]))[None, None]
    is_label_BTV = ids_11V == labels_BT[..., None]
    log_z.append(jax.nn.logsumexp(logits_BTV, axis=-1))
    label_logit.append(
      jnp.sum(jnp.where(is_label_BTV, logits_BTV, 0.0), axis=-1)
    )
    largest.append(jnp.max(jax.lax.stop_gradient(logits_BTV), axis=-1))
  log_z_BT = jax.nn.logsumexp(jnp.stack(log_z), axis=0)
  label_logit_BT = sum(label_logit)
  correct_BT = label_logit_BT >= jnp.max(jnp.stack(largest), axis=0)
  return Result(log_z_BT - label_logit_BT, log_z_BT, correct_BT)


def cross_entropy(
  hidden_BTD: jax.Array,
  labels_BT: jax.Array,
  tables: Sequence[Table],
  *,
  soft_cap: float = 0.0,
  chunk_size: int = 0,
  split_vocabulary: bool = False,
) -> Result:
  """Cross-entropy of one softmax over the admitted rows of all tables.

  Args:
    hidden_BTD: (B, T, width).
    labels_BT: int32, each an id of one of the tables.
    tables: disjoint ranges of ids.
    soft_cap: see `table_logits`.
    chunk_size: positions of each sequence whose logits exist at one time; 0
      takes all at once and keeps their logits for the backward pass. Chunks
      go along sequences, so that every device has its share of each.
    split_vocabulary: on a mesh, whether devices split the rows (axis
      'activation_vocab' of the rules) and not the examples. Large tables want
      it; small ones are cheaper to gather than hidden states.

  Returns:
    See `Result`.
  """
  # Labels of one position or example would be broadcast to all.
  chex.assert_rank([hidden_BTD, labels_BT], [3, 2])
  chex.assert_equal_shape_prefix([hidden_BTD, labels_BT], 2)
  batch, length, width = hidden_BTD.shape
  if not chunk_size or chunk_size >= length:
    return _chunk(hidden_BTD, labels_BT, tables, soft_cap, split_vocabulary)
  chunks = -(-length // chunk_size)
  # Even chunks pad least.
  chunk_size = -(-length // chunks)
  room = chunks * chunk_size - length
  hidden_CBTD = jnp.swapaxes(
    jnp.pad(hidden_BTD, ((0, 0), (0, room), (0, 0))).reshape(
      batch, chunks, chunk_size, width
    ),
    0,
    1,
  )
  hidden_CBTD = manual.constrain(
    hidden_CBTD, (None, 'activation_batch', None, None)
  )
  labels_CBT = jnp.swapaxes(
    jnp.pad(labels_BT, ((0, 0), (0, room)), mode='edge').reshape(
      batch, chunks, chunk_size
    ),
    0,
    1,
  )

  # The tables are constants of the loop: what it carries would be saved for
  # the backward pass once a chunk.
  @functools.partial(jax.checkpoint, prevent_cse=False)
  def body(
    hidden_BTD: jax.Array, labels_BT: jax.Array, weights: list[jax.Array]
  ) -> Result:
    full = [t._replace(weight_VD=w) for t, w in zip(tables, weights)]
    return _chunk(hidden_BTD, labels_BT, full, soft_cap, split_vocabulary)

  weights = [table.weight_VD for table in tables]
  _, result = jax.lax.scan(
    lambda _, inputs: (None, body(*inputs, weights)),
    None,
    (hidden_CBTD, labels_CBT),
  )
  return Result(
    *(
      jnp.swapaxes(part, 0, 1).reshape(batch, -1)[:, :length] for part in result
    )
  )
