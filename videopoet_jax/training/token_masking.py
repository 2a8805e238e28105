"""Hides and disturbs tokens for masked-token training.

MAGVIT (arXiv 2212.05199), section 3: a number r is drawn uniformly from [0, 1]
for each example, and ceil(cos(pi r / 2) N) of its N tokens, drawn without
replacement, are hidden: from one to all of them.
"""

import jax
import jax.numpy as jnp


def hidden_counts(ratios: jax.Array, size: int) -> jax.Array:
  """Number of hidden tokens among `size` for ratios in [0, 1], int32."""
  share = jnp.cos(0.5 * jnp.pi * ratios)
  return jnp.clip(jnp.ceil(share * size), 1, size).astype(jnp.int32)


def draw_hidden(
  rng: jax.Array, shape: tuple[int, ...], all_hidden: float = 0.0
) -> jax.Array:
  """Draws which tokens of each example are hidden.

  Args:
    rng: random key.
    shape: (B, ...), shape of the grids.
    all_hidden: probability that an example has all of them hidden.

  Returns:
    Bool of that shape, True where hidden.
  """
  rows = shape[0]
  ratio_key, order_key, all_key = jax.random.split(rng, 3)
  scores_BN = jax.random.uniform(order_key, shape).reshape(rows, -1)
  ratios_B = jax.random.uniform(ratio_key, (rows,))
  whole_B = jax.random.bernoulli(all_key, all_hidden, (rows,))
  ratios_B = jnp.where(whole_B, 0.0, ratios_B)
  counts_B = hidden_counts(ratios_B, scores_BN.shape[1])
  ranks_BN = jnp.argsort(jnp.argsort(scores_BN, axis=1), axis=1)
  return (ranks_BN < counts_B[:, None]).reshape(shape)


def resample(
  rng: jax.Array, ids: jax.Array, codebook_size: int, most: float
) -> jax.Array:
  """Draws some ids anew, uniformly from the codebook.

  A model that reads ids from another model must tolerate wrong ones (VideoPoet,
  section 3.4: a random subset of tokens is resampled; the share is not stated).
  Here each example draws a share uniformly from 0 to `most`, and each of its
  ids is drawn anew with that probability.

  Args:
    rng: random key.
    ids: int32 (B, ...), local.
    codebook_size: number of ids.
    most: largest share, from 0 to 1.

  Returns:
    int32, with the shape of `ids`.
  """
  share_key, choice_key, id_key = jax.random.split(rng, 3)
  ones = (1,) * (ids.ndim - 1)
  share_B = jax.random.uniform(share_key, (ids.shape[0], *ones)) * most
  chosen = jax.random.uniform(choice_key, ids.shape) < share_B
  drawn = jax.random.randint(id_key, ids.shape, 0, codebook_size, ids.dtype)
  return jnp.where(chosen, drawn, ids)
