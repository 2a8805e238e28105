"""Residual vector quantization: each level codes the previous residual.

How codes are looked up and learned is in `codebook`. Here, each level is also
given what the levels before it leave over.
"""

from __future__ import annotations

import dataclasses
import functools

import chex
from flax import linen as nn
from flax import struct
import jax
import jax.numpy as jnp

from videopoet_jax.tokenizers.quantizers import codebook as codebook_lib


@dataclasses.dataclass(frozen=True)
class ResidualQuantizerConfig:
  """Size of the quantizer.

  Attributes:
    num_levels: codebooks, coarse to fine (VideoPoet: 4).
    codebook_size: codes a level (VideoPoet: 1,024).
    width: channels of the latents that are quantized.
    dropout: share of the clips that are trained with a number of levels drawn
      from 1 to `num_levels`, so that the first levels alone are usable.
  """

  num_levels: int = 4
  codebook_size: int = 1024
  width: int = 128
  dropout: float = 0.5


@struct.dataclass
class Quantized:
  """Result of quantization for a training step.

  Attributes:
    latents_BFD: quantized latents; their gradient is that of the latents.
    ids_BKF: int32 codes of every level.
    codebook_loss: scalar, moves codes to latents.
    commitment_loss: scalar, moves latents to codes.
    revival_loss: scalar, moves idle codes to latents.
    usage_K: share of each level's codes that the batch uses.
  """

  latents_BFD: jax.Array
  ids_BKF: jax.Array
  codebook_loss: jax.Array
  commitment_loss: jax.Array
  revival_loss: jax.Array
  usage_K: jax.Array


def encode(latents_BFD: jax.Array, codebooks_KVD: jax.Array) -> jax.Array:
  """Returns the codes of latents.

  Args:
    latents_BFD: (batch, frames, width).
    codebooks_KVD: (levels, codes, width).

  Returns:
    int32 (batch, levels, frames).
  """
  batch, frames, width = latents_BFD.shape
  residual_ND = latents_BFD.reshape(-1, width)
  ids = []
  for codebook_VD in codebooks_KVD:
    ids_N = codebook_lib.nearest(residual_ND, codebook_VD)
    residual_ND = residual_ND - codebook_VD[ids_N]
    ids.append(ids_N.reshape(batch, frames))
  return jnp.stack(ids, axis=1).astype(jnp.int32)


def decode(ids_BKF: jax.Array, codebooks_KVD: jax.Array) -> jax.Array:
  """Returns the sum of the codes' vectors.

  Args:
    ids_BKF: int32 (batch, levels, frames); the first levels alone suffice.
    codebooks_KVD: (levels, codes, width).

  Returns:
    (batch, frames, width).
  """
  chex.assert_rank([ids_BKF, codebooks_KVD], 3)
  # Further levels would read the last codebook again: indices are clamped.
  chex.assert_axis_dimension_lteq(ids_BKF, 1, codebooks_KVD.shape[0])
  num_levels = ids_BKF.shape[1]
  levels = [codebooks_KVD[k][ids_BKF[:, k]] for k in range(num_levels)]
  return sum(levels[1:], start=levels[0])


def _refine(points_ND: jax.Array, _: int, centres_VD: jax.Array) -> jax.Array:
  """Runs one round of k-means; a centre without points stays."""
  nearest_N = codebook_lib.nearest(points_ND, centres_VD)
  member_NV = jax.nn.one_hot(nearest_N, centres_VD.shape[0])
  size_V = member_NV.sum(axis=0)
  sum_VD = jnp.einsum('nv,nd->vd', member_NV, points_ND)
  mean_VD = sum_VD / jnp.maximum(size_V, 1.0)[:, None]
  return jnp.where((size_V > 0)[:, None], mean_VD, centres_VD)


def codebooks_from_data(
  rng: jax.Array,
  latents_BFD: jax.Array,
  num_levels: int,
  codebook_size: int,
  iterations: int = 4,
) -> jax.Array:
  """Fits codebooks to a batch of latents, by k-means on each level.

  Args:
    rng: key that picks the first centres.
    latents_BFD: (batch, frames, width).
    num_levels: codebooks.
    codebook_size: codes a level; if it exceeds the number of latents, codes
      start as jittered copies.
    iterations: rounds of k-means.

  Returns:
    (levels, codes, width).
  """
  width = latents_BFD.shape[-1]
  residual_ND = latents_BFD.reshape(-1, width)
  count = residual_ND.shape[0]
  codebooks = []
  for key in jax.random.split(rng, num_levels):
    pick_key, jitter_key = jax.random.split(key)
    repeats = -(-codebook_size // count)
    order = jnp.tile(jax.random.permutation(pick_key, count), repeats)
    centres_VD = residual_ND[order[:codebook_size]]
    spread = jnp.std(residual_ND) + 1e-6
    noise_VD = jax.random.normal(jitter_key, centres_VD.shape)
    centres_VD = centres_VD + 0.05 * spread * noise_VD
    refine = functools.partial(_refine, residual_ND)
    centres_VD = jax.lax.fori_loop(0, iterations, refine, centres_VD)
    nearest_N = codebook_lib.nearest(residual_ND, centres_VD)
    residual_ND = residual_ND - centres_VD[nearest_N]
    codebooks.append(centres_VD)
  return jnp.stack(codebooks)


class ResidualVectorQuantizer(nn.Module):
  """Codebooks and their use.

  Attributes:
    config: sizes.
  """

  config: ResidualQuantizerConfig

  def setup(self) -> None:
    config = self.config
    self.codebooks = codebook_lib.param(
      self, 'codebooks', config.num_levels, config.codebook_size, config.width
    )

  def encode(self, latents_BFD: jax.Array) -> jax.Array:
    """Maps latents (batch, frames, width) to int32 (batch, levels, frames)."""
    return encode(latents_BFD, self.codebooks)

  def decode(self, ids_BKF: jax.Array) -> jax.Array:
    """Maps int32 (batch, levels, frames) to latents (batch, frames, width)."""
    return decode(ids_BKF, self.codebooks)

  def __call__(
    self, latents_BFD: jax.Array, rng: jax.Array | None = None
  ) -> Quantized:
    """Quantizes for training.

    Args:
      latents_BFD: (batch, frames, width).
      rng: key for quantizer dropout; None trains every level on every clip.

    Returns:
      See `Quantized`.
    """
    config = self.config
    batch, frames, width = latents_BFD.shape
    depth_B = jnp.full((batch,), config.num_levels)
    if rng is not None and config.dropout > 0:
      depth_key, coin_key = jax.random.split(rng)
      drawn_B = jax.random.randint(
        depth_key, (batch,), 1, config.num_levels + 1
      )
      dropped_B = jax.random.uniform(coin_key, (batch,)) < config.dropout
      depth_B = jnp.where(dropped_B, drawn_B, depth_B)
    latents_ND = latents_BFD.reshape(-1, width)
    # The codebook loss moves codes to the latents; only the commitment term
    # moves latents to the codes.
    residual_ND = jax.lax.stop_gradient(latents_ND)
    total_BFD = jnp.zeros_like(latents_BFD)
    losses = dict.fromkeys(
      ('codebook', 'commitment', 'revival'), jnp.float32(0.0)
    )
    ids, usage = [], []
    for level in range(config.num_levels):
      chosen = codebook_lib.choose(residual_ND, self.codebooks[level])
      fixed_ND = jax.lax.stop_gradient(chosen.codes_ND)
      losses['revival'] += chosen.revival_loss
      losses['codebook'] += chosen.codebook_loss
      active_B = (level < depth_B).astype(latents_BFD.dtype)
      total_BFD += active_B[:, None, None] * fixed_ND.reshape(
        batch, frames, width
      )
      gap_BFD = latents_BFD - jax.lax.stop_gradient(total_BFD)
      losses['commitment'] += jnp.mean(
        active_B[:, None, None] * jnp.square(gap_BFD)
      )
      residual_ND = residual_ND - fixed_ND
      ids.append(chosen.ids_N.reshape(batch, frames))
      usage.append(chosen.usage)
    straight_BFD = latents_BFD + jax.lax.stop_gradient(total_BFD - latents_BFD)
    return Quantized(
      latents_BFD=straight_BFD,
      ids_BKF=jnp.stack(ids, axis=1).astype(jnp.int32),
      codebook_loss=losses['codebook'] / config.num_levels,
      commitment_loss=losses['commitment'] / config.num_levels,
      revival_loss=losses['revival'] / config.num_levels,
      usage_K=jnp.stack(usage),
    )
