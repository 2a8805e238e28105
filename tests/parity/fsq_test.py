"""Finite scalar quantization against vector-quantize-pytorch's FSQ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.tokenizers.quantizers import fsq

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
quantization = pytest.importorskip(
  'vector_quantize_pytorch',
  reason='needs vector-quantize-pytorch (parity extra)',
)


@pytest.mark.parametrize('levels', [(7, 5, 5, 5, 5), (8, 8, 6, 5), (4, 3)])
def test_same_ids_codes_and_gradients(levels):
  theirs = quantization.FSQ(list(levels))
  ours = fsq.FiniteScalarQuantizer(levels)
  assert ours.codebook_size == theirs.codebook_size
  rng = np.random.default_rng(0)
  latents = rng.normal(scale=1.5, size=(3, 40, len(levels)))
  latents = latents.astype(np.float32)
  weights = rng.normal(size=latents.shape).astype(np.float32)
  inputs = torch.tensor(latents, requires_grad=True)
  codes, ids = theirs(inputs)
  torch.sum(codes * torch.tensor(weights)).backward()
  np.testing.assert_array_equal(
    ours.latents_to_ids(jnp.asarray(latents)), ids.numpy()
  )
  np.testing.assert_allclose(
    ours.quantize(jnp.asarray(latents)), codes.detach().numpy(), atol=1e-5
  )
  gradient = jax.grad(lambda z: jnp.sum(ours.quantize(z) * weights))(latents)
  np.testing.assert_allclose(
    gradient, inputs.grad.numpy(), rtol=1e-5, atol=1e-5
  )
  everything = np.arange(ours.codebook_size, dtype=np.int32)
  np.testing.assert_allclose(
    ours.ids_to_codes(everything), theirs.implicit_codebook.numpy(), atol=1e-6
  )
