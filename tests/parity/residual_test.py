"""Residual quantization against transformers' EnCodec quantizer."""

import jax.numpy as jnp
import numpy as np
import pytest

from videopoet_jax.tokenizers.quantizers import residual

pytestmark = pytest.mark.parity

torch = pytest.importorskip('torch', reason='needs torch (parity extra)')
encodec = pytest.importorskip(
  'transformers.models.encodec.modeling_encodec',
  reason='needs transformers (parity extra)',
)
transformers = pytest.importorskip('transformers')


def test_ids_and_latents_equal_the_reference():
  config = transformers.EncodecConfig(
    codebook_size=32, codebook_dim=8, hidden_size=8, target_bandwidths=[3.0]
  )
  theirs = encodec.EncodecResidualVectorQuantizer(config)
  random = np.random.default_rng(0)
  codebooks = random.normal(size=(len(theirs.layers), 32, 8)).astype(np.float32)
  for layer, codebook in zip(theirs.layers, codebooks):
    layer.codebook.embed.copy_(torch.tensor(codebook))
  latents = random.normal(size=(3, 50, 8)).astype(np.float32)
  with torch.no_grad():
    codes = theirs.encode(torch.tensor(latents).transpose(1, 2), None)
    decoded = theirs.decode(codes).transpose(1, 2).numpy()
  ours = residual.encode(jnp.asarray(latents), jnp.asarray(codebooks))
  # Theirs are levels first: (levels, batch, frames).
  np.testing.assert_array_equal(ours, codes.numpy().transpose(1, 0, 2))
  np.testing.assert_allclose(
    residual.decode(ours, jnp.asarray(codebooks)), decoded, atol=1e-5
  )
