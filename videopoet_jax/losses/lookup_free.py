"""The two entropy terms of lookup-free quantization.

MAGVIT-v2 (arXiv 2310.05737, equation 4). A latent `z` is given a soft
assignment to all 2 ** K codes `c`, a softmax over `2 * inverse_temperature *
<z, c>`. It is a product of K independent bits of probability
sigmoid(4 * inverse_temperature * z_i) to be positive. So

- the entropy of one latent's assignment, E[H(q(z))], is the sum of the
  entropies of its bits: exact at any number of bits;
- the entropy of the mean assignment, H(E[q(z)]), is not: correlated bits carry
less than their sum. It is computed within groups of bits and summed over
groups, exact for one group and an upper bound for several. No array larger than
latents x 2 ** (group_bits / 2) or 2 ** group_bits is needed.
"""

from collections.abc import Sequence
import typing

import jax
import jax.numpy as jnp


class EntropyTerms(typing.NamedTuple):
  """Entropies in nats of the soft assignment of latents to codes.

  Attributes:
    token: mean over latents of the entropy of one assignment; minimized.
    codebook: entropy of the mean assignment; maximized.
  """

  token: jax.Array
  codebook: jax.Array


def split_bits(num_bits: int, group_bits: int) -> tuple[int, ...]:
  """Returns sizes, as even as can be, of the fewest groups of `group_bits`.

  For example 18 bits in groups of at most 8 give (6, 6, 6).
  """
  if num_bits < 1 or group_bits < 1:
    raise ValueError(f'cannot split {num_bits} bits in groups of {group_bits}')
  groups = -(-num_bits // group_bits)
  base, longer = divmod(num_bits, groups)
  return (base + 1,) * longer + (base,) * (groups - longer)


def entropy_terms(
  latents: jax.Array,
  inverse_temperature: float = 1.0,
  group_bits: int = 9,
) -> EntropyTerms:
  """Computes both entropies.

  Args:
    latents: (..., num_bits) before quantization; all leading dimensions are
      samples of one distribution.
    inverse_temperature: sharpness of the assignment.
    group_bits: at most how many bits share one joint distribution.

  Returns:
    Two float32 scalars.
  """
  num_bits = latents.shape[-1]
  logits = 4.0 * inverse_temperature * latents.astype(jnp.float32)
  logits = logits.reshape(-1, num_bits)
  # log sigmoid stays exact where the probability itself rounds to 0 or 1.
  log_positive = jax.nn.log_sigmoid(logits)
  log_negative = jax.nn.log_sigmoid(-logits)
  positive = jnp.exp(log_positive)
  negative = jnp.exp(log_negative)
  bit_entropy = -(positive * log_positive + negative * log_negative)
  token = jnp.mean(jnp.sum(bit_entropy, axis=-1))
  codebook = jnp.zeros((), jnp.float32)
  start = 0
  for size in split_bits(num_bits, group_bits):
    group = slice(start, start + size)
    joint = _mean_joint(negative[:, group], positive[:, group])
    codebook -= jnp.sum(jnp.where(joint > 0, joint * _safe_log(joint), 0.0))
    start += size
  return EntropyTerms(token, codebook)


def _safe_log(values: jax.Array) -> jax.Array:
  # The inner `where` keeps the gradient finite at zero.
  return jnp.log(jnp.where(values > 0, values, 1.0))


def _mean_joint(negative_NK: jax.Array, positive_NK: jax.Array) -> jax.Array:
  """Mean over N of the product distribution of K bits: (2 ** ceil, 2 ** floor).

  The bits are split into two halves whose joints, of size 2 ** (K / 2), are
  combined by one matrix product, so that no array of N x 2 ** K exists.
  """
  half = -(-negative_NK.shape[1] // 2)

  def joint_of(columns: Sequence[int]) -> jax.Array:
    joint = jnp.ones((negative_NK.shape[0], 1), jnp.float32)
    for column in columns:
      pair = jnp.stack((negative_NK[:, column], positive_NK[:, column]), -1)
      joint = (joint[:, :, None] * pair[:, None, :]).reshape(joint.shape[0], -1)
    return joint

  first = joint_of(range(half))
  second = joint_of(range(half, negative_NK.shape[1]))
  return first.T @ second / negative_NK.shape[0]


def commitment(latents: jax.Array) -> jax.Array:
  """Mean square distance of latents to their codes; only latents move.

  Args:
    latents: (..., num_bits) before quantization.

  Returns:
    float32 scalar.
  """
  latents = latents.astype(jnp.float32)
  codes = jax.lax.stop_gradient(jnp.where(latents > 0, 1.0, -1.0))
  return jnp.mean(jnp.square(latents - codes))
