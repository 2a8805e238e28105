"""Softmax cross-entropy that never holds all logits at once.

With 300,000 ids, the logits of one batch outweigh the model. Positions are
taken in chunks, and each chunk's logits are computed again in the backward
pass. Nothing here gathers along the vocabulary axis, so tables may be sharded
over it: the label's logit is picked by a comparison and a sum.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

_ABSENT = -1e30  # logit of a row that is padding.


class Table(NamedTuple):
  """Unembedding rows of consecutive ids.

  Attributes:
    weight_VD: (rows, width).
    start: id of row 0, in the numbering of the labels.
    size: rows in use; the rest is padding.
  """

  weight_VD: jax.Array
  start: int
  size: int


class Result(NamedTuple):
  """What `cross_entropy` gives for each position.

  Attributes:
    loss_N: float32, negative log likelihood of the label.
    log_z_N: float32, logarithm of the softmax's denominator.
    correct_N: bool, whether no other id has a higher logit.
  """

  loss_N: jax.Array
  log_z_N: jax.Array
  correct_N: jax.Array


def table_logits(
  hidden_ND: jax.Array, table: Table, soft_cap: float = 0.0
) -> jax.Array:
  """float32 (N, rows) logits of one table, padding rows far below all.

  Args:
    hidden_ND: (N, width).
    table: rows.
    soft_cap: logits are squashed into (-soft_cap, soft_cap); 0 leaves them.
  """
  logits_NV = jnp.einsum(
    'nd,vd->nv',
    hidden_ND,
    table.weight_VD.astype(hidden_ND.dtype),
    preferred_element_type=jnp.float32,
  )
  if soft_cap:
    logits_NV = soft_cap * jnp.tanh(logits_NV / soft_cap)
  rows = table.weight_VD.shape[0]
  if table.size < rows:
    used_1V = (jnp.arange(rows) < table.size)[None]
    logits_NV = jnp.where(used_1V, logits_NV, _ABSENT)
  return logits_NV


def _chunk(
  hidden_ND: jax.Array,
  labels_N: jax.Array,
  tables: Sequence[Table],
  soft_cap: float,
) -> Result:
  log_z, label_logit, largest = [], [], []
  for table in tables:
    logits_NV = table_logits(hidden_ND, table, soft_cap)
    ids_1V = table.start + jnp.arange(logits_NV.shape[1])[None]
    is_label_NV = ids_1V == labels_N[:, None]
    log_z.append(jax.nn.logsumexp(logits_NV, axis=-1))
    label_logit.append(jnp.sum(jnp.where(is_label_NV, logits_NV, 0.0), axis=-1))
    largest.append(jnp.max(jax.lax.stop_gradient(logits_NV), axis=-1))
  log_z_N = jax.nn.logsumexp(jnp.stack(log_z), axis=0)
  label_logit_N = sum(label_logit)
  correct_N = label_logit_N >= jnp.max(jnp.stack(largest), axis=0)
  return Result(log_z_N - label_logit_N, log_z_N, correct_N)


def cross_entropy(
  hidden_ND: jax.Array,
  labels_N: jax.Array,
  tables: Sequence[Table],
  *,
  soft_cap: float = 0.0,
  chunk_size: int = 0,
) -> Result:
  """Cross-entropy of one softmax over the rows of all tables.

  Args:
    hidden_ND: (N, width).
    labels_N: int32, each an id of one of the tables.
    tables: disjoint ranges of ids.
    soft_cap: see `table_logits`.
    chunk_size: positions whose logits exist at one time; 0 takes all at once
      and keeps their logits for the backward pass.

  Returns:
    See `Result`.
  """
  number, width = hidden_ND.shape
  if not chunk_size or chunk_size >= number:
    return _chunk(hidden_ND, labels_N, tables, soft_cap)
  chunks = -(-number // chunk_size)
  room = chunks * chunk_size - number
  hidden_CND = jnp.pad(hidden_ND, ((0, room), (0, 0))).reshape(
    chunks, chunk_size, width
  )
  labels_CN = jnp.pad(labels_N, (0, room), mode='edge').reshape(
    chunks, chunk_size
  )

  @jax.checkpoint
  def body(
    weights: list[jax.Array], inputs: tuple[jax.Array, jax.Array]
  ) -> tuple[list[jax.Array], Result]:
    # The weights are carried, so that they are no constants of the closure
    # that `checkpoint` would save once a chunk.
    full = [t._replace(weight_VD=w) for t, w in zip(tables, weights)]
    return weights, _chunk(*inputs, full, soft_cap)

  _, result = jax.lax.scan(
    body, [t.weight_VD for t in tables], (hidden_CND, labels_CN)
  )
  return Result(*(part.reshape(-1)[:number] for part in result))
