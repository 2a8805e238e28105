"""Look-up-free quantization against vector-quantize-pytorch's LFQ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.losses import lookup_free
from videopoet_jax.tokenizers.quantizers import lfq

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
quantization = pytest.importorskip(
  'vector_quantize_pytorch',
  reason='needs vector-quantize-pytorch (parity extra)',
)

_BITS = 8


def _theirs(latents, inverse_temperature):
  """Their outputs; their lowest bit is the last dimension, ours the first."""
  module = quantization.LFQ(
    dim=_BITS, codebook_size=2**_BITS, commitment_loss_weight=1.0
  )
  module.train()
  inputs = torch.tensor(latents[..., ::-1].copy(), requires_grad=True)
  out, terms = module(
    inputs, inv_temperature=inverse_temperature, return_loss_breakdown=True
  )
  (terms.per_sample_entropy - terms.batch_entropy + terms.commitment).backward()
  return out, terms, inputs.grad.numpy()[..., ::-1]


@pytest.mark.parametrize('inverse_temperature', [0.25, 1.0, 2.0])
def test_same_ids_codes_terms_and_gradients(inverse_temperature):
  rng = np.random.default_rng(0)
  latents = rng.normal(scale=0.5, size=(3, 20, _BITS)).astype(np.float32)
  out, theirs, their_gradient = _theirs(latents, inverse_temperature)
  np.testing.assert_array_equal(
    lfq.latents_to_ids(jnp.asarray(latents)), out.indices.numpy()
  )
  np.testing.assert_allclose(
    lfq.quantize(jnp.asarray(latents)),
    out.quantized.detach().numpy()[..., ::-1],
    atol=1e-6,
  )

  def loss(latents):
    terms = lookup_free.entropy_terms(latents, inverse_temperature, _BITS)
    commitment = lookup_free.commitment(latents)
    return terms.token - terms.codebook + commitment, (terms, commitment)

  gradient, (ours, commitment) = jax.grad(loss, has_aux=True)(latents)
  # They clamp probabilities at 1e-5 inside the logarithm.
  for mine, other in (
    (ours.token, theirs.per_sample_entropy),
    (ours.codebook, theirs.batch_entropy),
    (commitment, theirs.commitment),
  ):
    np.testing.assert_allclose(mine, other.item(), rtol=3e-3, atol=1e-3)
  np.testing.assert_allclose(gradient, their_gradient, rtol=0.02, atol=2e-4)
