"""Learned codebooks: what VQ and each level of residual quantization share.

The codebooks are ordinary parameters, so a training step stays a pure function
of them and any optimizer, average or checkpoint applies. Two terms of the loss
replace the moving averages and counters of SoundStream (arXiv 2107.03312,
section III-C):

- the codebook term pulls a chosen code to the latents that chose it;
- the revival term pulls a code that no latent of the batch chose to the nearest
of the latents that are coded worse than the mean. Its weight is small, but an
optimizer that divides by the history of the gradient (Adam) amplifies it for
codes that have been idle for long: a code in use has a large history, an idle
one has none.

Parameters are one array (levels, codes, width): rank 3 on purpose, which
excludes them from optimizers for matrices (Muon), since they are a set of
points, not a map.
"""

from __future__ import annotations

from flax import linen as nn
from flax import struct
import jax
import jax.numpy as jnp

# Codes have to keep up with latents that move as fast as a network can move
# them, while an optimizer like Adam moves every parameter at the same rate, so
# the parameters are codes divided by this.
SPEED = 8.0


@struct.dataclass
class Chosen:
  """Codes that points chose in one codebook.

  Attributes:
    ids_N: index of the nearest code.
    codes_ND: those codes; gradients go to the codebook.
    codebook_loss: scalar, moves the codes to the points that chose them.
    revival_loss: scalar, moves idle codes to badly coded points.
    usage: share of the codes that are chosen.
  """

  ids_N: jax.Array
  codes_ND: jax.Array
  codebook_loss: jax.Array
  revival_loss: jax.Array
  usage: jax.Array


def param(
  module: nn.Module, name: str, levels: int, codes: int, width: int
) -> jax.Array:
  """Declares codebooks in `setup`; returns the codes (levels, codes, width)."""
  stored = module.param(
    name,
    nn.with_logical_partitioning(
      nn.initializers.normal(1.0 / SPEED), ('level', 'code', 'code_width')
    ),
    (levels, codes, width),
    jnp.float32,
  )
  return SPEED * stored


def distances(points_ND: jax.Array, codebook_VD: jax.Array) -> jax.Array:
  """Squared distances minus the points' own norms, (points, codes)."""
  dot_NV = jnp.einsum('nd,vd->nv', points_ND, codebook_VD)
  return jnp.sum(jnp.square(codebook_VD), axis=-1)[None] - 2.0 * dot_NV


def nearest(points_ND: jax.Array, codebook_VD: jax.Array) -> jax.Array:
  """Index (points,) of the code that is nearest to each point."""
  return jnp.argmin(distances(points_ND, codebook_VD), axis=-1)


def choose(points_ND: jax.Array, codebook_VD: jax.Array) -> Chosen:
  """Looks points up in a codebook, for training.

  Needs an array of points x codes.

  Args:
    points_ND: (points, width); no gradient goes to them.
    codebook_VD: (codes, width).
  """
  points_ND = jax.lax.stop_gradient(points_ND)
  table_NV = distances(points_ND, jax.lax.stop_gradient(codebook_VD))
  ids_N = jnp.argmin(table_NV, axis=-1)
  chosen_ND = codebook_VD[ids_N]
  used_V = jnp.zeros((codebook_VD.shape[0],)).at[ids_N].set(1.0)
  # The points' norms, which the search for the nearest code may omit, matter in
  # the search for the nearest point.
  gaps_NV = table_NV + jnp.sum(jnp.square(points_ND), axis=-1)[:, None]
  error_N = jnp.min(gaps_NV, axis=-1)
  well_coded_N = error_N < jnp.mean(error_N)
  gaps_NV = jnp.where(well_coded_N[:, None], jnp.inf, gaps_NV)
  closest_VD = points_ND[jnp.argmin(gaps_NV, axis=0)]
  gap_V = jnp.mean(jnp.square(codebook_VD - closest_VD), axis=-1)
  return Chosen(
    ids_N=ids_N,
    codes_ND=chosen_ND,
    codebook_loss=jnp.mean(jnp.square(chosen_ND - points_ND)),
    revival_loss=jnp.mean((1.0 - used_V) * gap_V),
    usage=jnp.mean(used_V),
  )
