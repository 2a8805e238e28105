"""Visual ids by their bits, certain or not."""

import jax
import jax.numpy as jnp
import numpy as np

from videopoet_jax.layers import embeddings
from videopoet_jax.parallel import rules

_BITS = 5  # 3 high ones and 2 low ones.


def test_uncertain_bits_give_the_mean_over_all_ids():
  module = embeddings.VisualBits(_BITS, 8)
  ids = jnp.arange(2**_BITS)
  params = rules.unbox(module.init(jax.random.key(0), ids))
  vectors_VD = np.asarray(module.apply(params, ids))
  sure = embeddings.signs(ids, _BITS).astype(jnp.float32)
  np.testing.assert_allclose(
    module.apply(params, sure, method='expected'), vectors_VD, atol=1e-5
  )
  codes = np.random.default_rng(0).uniform(-1, 1, (3, 2, _BITS))
  chances = (1 + np.asarray(sure) * codes[..., None, :]) / 2
  np.testing.assert_allclose(
    module.apply(params, jnp.asarray(codes, jnp.float32), method='expected'),
    chances.prod(-1) @ vectors_VD,
    atol=1e-5,
  )
