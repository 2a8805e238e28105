"""Look-up-free quantization and BSQ against vector-quantize-pytorch's LFQ.

Its LFQ is BSQ with `spherical=True`; it enumerates all codes and so has the
joint entropy, ours with one group of bits.
"""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.tokenizers.quantizers import bsq
from videopoet_jax.tokenizers.quantizers import lfq

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
quantization = pytest.importorskip(
  'vector_quantize_pytorch',
  reason='needs vector-quantize-pytorch (parity extra)',
)

_BITS = 8
_OURS = {
  'lfq': lfq.LookupFreeQuantizer(_BITS),
  'bsq': bsq.BinarySphericalQuantizer(_BITS),
}


def _theirs(kind, latents, inverse_temperature):
  """Their outputs; their lowest bit is the last dimension, ours the first."""
  module = quantization.LFQ(
    dim=_BITS,
    codebook_size=2**_BITS,
    commitment_loss_weight=1.0,
    spherical=kind == 'bsq',
  )
  module.train()
  inputs = torch.tensor(latents[..., ::-1].copy(), requires_grad=True)
  out, terms = module(
    inputs, inv_temperature=inverse_temperature, return_loss_breakdown=True
  )
  named = {
    'commitment': terms.commitment,
    'token_entropy': terms.per_sample_entropy,
    'codebook_entropy': terms.batch_entropy,
  }
  return out, named, inputs


def _compare(kind, inverse_temperature):
  rng = np.random.default_rng(0)
  latents = rng.normal(scale=0.5, size=(3, 20, _BITS)).astype(np.float32)
  weights = rng.normal(size=latents.shape).astype(np.float32)
  out, theirs, inputs = _theirs(kind, latents, inverse_temperature)
  ours = _OURS[kind]
  np.testing.assert_array_equal(
    ours.latents_to_ids(jnp.asarray(latents)), out.indices.numpy()
  )
  np.testing.assert_allclose(
    ours.quantize(jnp.asarray(latents)),
    out.quantized.detach().numpy()[..., ::-1],
    atol=1e-6,
  )
  values = {
    name: lambda z, name=name: ours.terms(z, inverse_temperature, _BITS)[name]
    for name in theirs
  }
  values['codes'] = lambda z: jnp.sum(ours.quantize(z) * weights)
  theirs['codes'] = torch.sum(
    out.quantized * torch.tensor(weights[..., ::-1].copy())
  )
  for name, other in theirs.items():
    mine, gradient = jax.value_and_grad(values[name])(latents)
    (wanted,) = torch.autograd.grad(other, inputs, retain_graph=True)
    np.testing.assert_allclose(
      mine, other.item(), rtol=1e-5, atol=1e-5, err_msg=name
    )
    np.testing.assert_allclose(
      gradient, wanted.numpy()[..., ::-1], rtol=1e-5, atol=1e-5, err_msg=name
    )


@pytest.mark.parametrize(
  ('kind', 'inverse_temperature'), [('lfq', 0.1), ('bsq', 0.5)]
)
def test_same_ids_codes_terms_and_gradients(kind, inverse_temperature):
  # So soft that no probability reaches their clamp.
  _compare(kind, inverse_temperature)


@pytest.mark.parametrize('inverse_temperature', [0.25, 1.0, 2.0])
@pytest.mark.parametrize('kind', _OURS)
def test_the_same_at_sharp_assignments(kind, inverse_temperature, monkeypatch):
  # They clamp probabilities at 1e-5 inside the logarithm, which we do not.
  theirs = importlib.import_module(
    'vector_quantize_pytorch.lookup_free_quantization'
  )
  monkeypatch.setattr(theirs, 'log', lambda t: t.clamp(min=1e-30).log())
  _compare(kind, inverse_temperature)
