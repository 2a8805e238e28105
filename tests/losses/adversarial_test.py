"""Adversarial losses against values computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.losses import adversarial

_REAL = jnp.array([2.0, -0.5])
_FAKE = jnp.array([0.25, -3.0])


def _softplus(value):
  return np.log1p(np.exp(value))


def test_non_saturating_losses():
  np.testing.assert_allclose(
    adversarial.generator_loss(_FAKE, 'non_saturating'),
    (_softplus(-0.25) + _softplus(3.0)) / 2,
    rtol=1e-6,
  )
  np.testing.assert_allclose(
    adversarial.discriminator_loss(_REAL, _FAKE, 'non_saturating'),
    (_softplus(-2.0) + _softplus(0.5) + _softplus(0.25) + _softplus(-3.0)) / 2,
    rtol=1e-6,
  )


def test_hinge_losses():
  np.testing.assert_allclose(
    adversarial.generator_loss(_FAKE, 'hinge'), (3.0 - 0.25) / 2
  )
  # Originals beyond 1 and reconstructions below -1 cost nothing.
  np.testing.assert_allclose(
    adversarial.discriminator_loss(_REAL, _FAKE, 'hinge'), (1.5 + 1.25) / 2
  )


@pytest.mark.parametrize('kind', adversarial.KINDS)
def test_each_network_gains_where_the_other_loses(kind):
  toward_real = jax.grad(lambda x: adversarial.generator_loss(x, kind))(_FAKE)
  assert (np.asarray(toward_real) < 0).all()
  away = jax.grad(
    lambda x: adversarial.discriminator_loss(_REAL, x, kind), argnums=0
  )(jnp.array([0.25, 0.5]))
  assert (np.asarray(away) > 0).all()


def test_lecam_penalizes_distances_beyond_the_other_average():
  found = adversarial.lecam(_REAL, _FAKE, jnp.array(1.0), jnp.array(-1.0))
  real = (3.0**2 + 0.5**2) / 2
  fake = (0.75**2 + 4.0**2) / 2
  np.testing.assert_allclose(found, real + fake, rtol=1e-6)
  # Logits on the near side of the other average cost nothing.
  near = adversarial.lecam(
    jnp.array([-2.0]), jnp.array([2.0]), jnp.array(1.0), jnp.array(-1.0)
  )
  assert near == 0.0
  moved = jax.grad(adversarial.lecam, argnums=(2, 3))(
    _REAL, _FAKE, jnp.array(1.0), jnp.array(-1.0)
  )
  assert moved == (0.0, 0.0)


def test_penalty_is_the_squared_gradient_of_an_example():
  weights = np.arange(6, dtype=np.float32).reshape(2, 3)
  real = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)

  def logits(batch):  # Two logits an example.
    first = jnp.einsum('bij,ij->b', batch, weights)
    return jnp.stack((first, 3.0 * first), axis=1)

  # The mean logit is twice the first.
  np.testing.assert_allclose(
    adversarial.gradient_penalty(logits, jnp.asarray(real)),
    4.0 * np.square(weights).sum(),
    rtol=1e-6,
  )

  def squares(batch):
    return 0.5 * jnp.sum(jnp.square(batch), axis=(1, 2))

  np.testing.assert_allclose(
    adversarial.gradient_penalty(squares, jnp.asarray(real)),
    np.square(real).sum((1, 2)).mean(),
    rtol=1e-6,
  )
