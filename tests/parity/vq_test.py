"""Vector quantization against vector-quantize-pytorch's VectorQuantize."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.tokenizers.quantizers import codebook
from videopoet_jax.tokenizers.quantizers import vq

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
quantization = pytest.importorskip(
  'vector_quantize_pytorch',
  reason='needs vector-quantize-pytorch (parity extra)',
)

_CODES, _DIM = 40, 6


@pytest.mark.parametrize('gradient', vq.GRADIENTS)
def test_same_ids_codes_losses_and_gradients(gradient):
  # A codebook that is learned by its gradient: one loss moves both sides.
  theirs = quantization.VectorQuantize(
    dim=_DIM,
    codebook_size=_CODES,
    learnable_codebook=True,
    ema_update=False,
    rotation_trick=gradient == 'rotation',
    commitment_weight=1.0,
  )
  theirs.train()
  rng = np.random.default_rng(0)
  codes = rng.normal(size=(_CODES, _DIM)).astype(np.float32)
  latents = rng.normal(size=(3, 20, _DIM)).astype(np.float32)
  weights = rng.normal(size=latents.shape).astype(np.float32)
  table = theirs._codebook.embed
  with torch.no_grad():
    table.copy_(torch.tensor(codes)[None])
  inputs = torch.tensor(latents, requires_grad=True)
  quantized, ids, loss = theirs(inputs)
  ours = vq.VectorQuantizer(_CODES, _DIM, gradient)

  def variables(codes):
    return {'params': {'codebook': codes[None] / codebook.SPEED}}

  def apply(method, codes=codes, latents=latents):
    return ours.apply(variables(codes), latents, method=method)

  np.testing.assert_array_equal(apply('latents_to_ids'), ids.numpy())
  np.testing.assert_allclose(
    apply('quantize'), quantized.detach().numpy(), atol=1e-5
  )
  terms = apply('terms')
  for name in ('commitment', 'codebook'):
    np.testing.assert_allclose(terms[name], loss.item(), rtol=1e-5)
  of_loss = torch.autograd.grad(loss, (inputs, table), retain_graph=True)
  mine = (
    jax.grad(lambda z: apply('terms', latents=z)['commitment'])(latents),
    jax.grad(lambda c: apply('terms', codes=c)['codebook'])(codes)[None],
  )
  for found, wanted in zip(mine, of_loss):
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)
  total = torch.sum(quantized * torch.tensor(weights))
  (wanted,) = torch.autograd.grad(total, inputs)
  found = jax.grad(lambda z: jnp.sum(apply('quantize', latents=z) * weights))(
    latents
  )
  np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)
