"""The discriminator: shapes, blur pooling, what it sees."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.tokenizers.magvit2 import discriminator

_SMALL = discriminator.DiscriminatorConfig(4, (1, 2))


def _clip(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.uniform(-1, 1, (*shape, 3)), jnp.float32)


@pytest.mark.parametrize(
  ('config', 'shape', 'logits'),
  [
    (_SMALL, (2, 5, 16, 24), (2, 2, 4, 6)),
    (_SMALL, (1, 1, 16, 16), (1, 1, 4, 4)),
    (
      discriminator.DiscriminatorConfig(4, (1, 2), temporal_kernel=1),
      (1, 5, 16, 16),
      (1, 5, 4, 4),
    ),
    (
      discriminator.DiscriminatorConfig(4, (1,), fold=4),
      (1, 3, 32, 32),
      (1, 2, 4, 4),
    ),
  ],
)
def test_a_logit_for_every_place(config, shape, logits):
  module = discriminator.Discriminator(config)
  found, _ = module.init_with_output(jax.random.key(0), _clip(*shape))
  assert found.shape == logits and found.dtype == jnp.float32


def test_the_image_stage_judges_each_frame_alone():
  config = discriminator.DiscriminatorConfig(4, (1, 2), temporal_kernel=1)
  module = discriminator.Discriminator(config)
  clip = _clip(1, 3, 16, 16)
  whole, params = module.init_with_output(jax.random.key(0), clip)
  for frame in range(3):
    alone = module.apply(params, clip[:, frame : frame + 1])
    np.testing.assert_allclose(alone[:, 0], whole[:, frame], atol=1e-5)


def test_the_video_stage_looks_both_ways():
  module = discriminator.Discriminator(_SMALL)
  clip = _clip(1, 5, 16, 16)
  params = module.init(jax.random.key(0), clip)

  def first(clip):
    return jnp.sum(module.apply(params, clip)[:, 0])

  moved = np.abs(np.asarray(jax.grad(first)(clip))).sum((0, 2, 3, 4))
  assert (moved > 0).all()


def test_blur_pool_keeps_constants_and_removes_the_finest_pattern():
  flat = jnp.full((1, 5, 6, 7, 2), 3.0)
  pooled = discriminator.blur_pool(flat, (1, 2, 3))
  assert pooled.shape == (1, 3, 3, 4, 2)
  np.testing.assert_allclose(pooled, 3.0, rtol=1e-6)
  # An alternating pattern has no energy below the new Nyquist frequency; a
  # stride of 2 alone would keep it.
  stripes = jnp.tile(jnp.array([1.0, -1.0]), 8).reshape(1, 1, 1, 16, 1)
  blurred = discriminator.blur_pool(stripes, (3,))
  np.testing.assert_allclose(blurred[0, 0, 0, 1:-1, 0], 0.0, atol=1e-6)


def test_blur_pool_is_centred():
  impulse = jnp.zeros((1, 1, 1, 8, 1)).at[0, 0, 0, 3, 0].set(1.0)
  mirrored = impulse[:, :, :, ::-1]
  one = discriminator.blur_pool(impulse, (3,))[0, 0, 0, :, 0]
  other = discriminator.blur_pool(mirrored, (3,))[0, 0, 0, :, 0]
  np.testing.assert_allclose(one, other[::-1])
  np.testing.assert_allclose(one, [0, 0.375, 0.125, 0])


def test_the_papers_size_has_parameters_of_its_order():
  config = discriminator.DiscriminatorConfig()
  shapes = jax.eval_shape(
    discriminator.Discriminator(config).init,
    jax.random.key(0),
    jax.ShapeDtypeStruct((1, 17, 128, 128, 3), jnp.float32),
  )
  count = sum(x.size for x in jax.tree.leaves(nn.unbox(shapes)))
  assert 1e7 < count < 5e7


def test_refusals():
  with pytest.raises(errors.ConfigError, match='temporal_kernel is 2'):
    discriminator.DiscriminatorConfig(temporal_kernel=2)
  with pytest.raises(errors.ConfigError, match='fold is 4.*18 x 16'):
    discriminator.DiscriminatorConfig(fold=4).check_size(18, 16)
