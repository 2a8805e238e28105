"""Losses of a generator and its discriminator.

MAGVIT-v2 (arXiv 2310.05737, appendix A) trains its tokenizer with a
non-saturating adversarial loss, LeCAM regularization and a gradient penalty.
Logits may have any shape: a discriminator that judges places gives one each.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

KINDS = ('non_saturating', 'hinge')


def generator_loss(fake_logits: jax.Array, kind: str) -> jax.Array:
  """Returns the generator's loss, low where fakes are taken for real.

  Args:
    fake_logits: logits of reconstructions, positive for "real".
    kind: one of `KINDS`.

  Returns:
    float32 scalar.
  """
  if kind == 'hinge':
    return -jnp.mean(fake_logits)
  return jnp.mean(jax.nn.softplus(-fake_logits))


def discriminator_loss(
  real_logits: jax.Array, fake_logits: jax.Array, kind: str
) -> jax.Array:
  """Returns the discriminator's loss, low where it tells the two apart.

  Args:
    real_logits: logits of originals.
    fake_logits: logits of reconstructions.
    kind: one of `KINDS`.

  Returns:
    float32 scalar.
  """
  if kind == 'hinge':
    return jnp.mean(jax.nn.relu(1.0 - real_logits)) + jnp.mean(
      jax.nn.relu(1.0 + fake_logits)
    )
  return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(
    jax.nn.softplus(fake_logits)
  )


def lecam(
  real_logits: jax.Array,
  fake_logits: jax.Array,
  mean_real: jax.Array,
  mean_fake: jax.Array,
) -> jax.Array:
  """Returns LeCAM's regularization of the discriminator.

  Tseng et al. (arXiv 2104.03310): logits of one kind are held near the moving
  average of the other kind. Only distances beyond the average are penalized,
  as in the published code.

  Args:
    real_logits: logits of originals.
    fake_logits: logits of reconstructions.
    mean_real: moving average of the originals' mean logit; no gradient.
    mean_fake: moving average of the reconstructions' mean logit; no gradient.
  """
  above = jax.nn.relu(real_logits - jax.lax.stop_gradient(mean_fake))
  below = jax.nn.relu(jax.lax.stop_gradient(mean_real) - fake_logits)
  return jnp.mean(jnp.square(above)) + jnp.mean(jnp.square(below))


def gradient_penalty(
  logits_of: Callable[[jax.Array], jax.Array], real: jax.Array
) -> jax.Array:
  """Returns the R1 penalty (Mescheder et al., arXiv 1801.04406).

  Args:
    logits_of: the discriminator, from a batch to logits.
    real: originals, (batch, ...).

  Returns:
    float32 scalar: the mean over the batch of the squared norm of the gradient
    of an example's mean logit.
  """

  def total(batch: jax.Array) -> jax.Array:
    logits = logits_of(batch)
    return jnp.sum(logits) * (batch.shape[0] / logits.size)

  gradient = jax.grad(total)(real)
  return jnp.mean(
    jnp.sum(jnp.square(gradient), axis=tuple(range(1, gradient.ndim)))
  )
