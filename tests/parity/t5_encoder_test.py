"""The T5 encoder against transformers' T5EncoderModel, same random weights."""

import chex
import jax
import numpy as np
import pytest

from videopoet_jax.models import t5_encoder
from videopoet_jax.models import t5_import

torch = pytest.importorskip('torch', reason='torch is the reference here')
transformers = pytest.importorskip(
  'transformers', reason='transformers is the reference here'
)

pytestmark = pytest.mark.parity


@pytest.fixture(scope='module')
def reference():
  torch.manual_seed(0)
  config = transformers.T5Config(
    vocab_size=97,
    d_model=48,
    d_kv=8,
    d_ff=80,
    num_layers=3,
    num_heads=4,
    relative_attention_num_buckets=16,
    relative_attention_max_distance=128,
    feed_forward_proj='gated-gelu',
    dropout_rate=0.0,
    tie_word_embeddings=False,
  )
  model = transformers.T5EncoderModel(config).eval()
  with torch.no_grad():
    for value in model.parameters():
      value.normal_(std=0.2)
  return model


def _ids_and_mask():
  random = np.random.default_rng(0)
  ids = random.integers(3, 97, (3, 40))
  lengths = np.array([40, 11, 1])
  mask = np.arange(40)[None] < lengths[:, None]
  return np.where(mask, ids, 0).astype(np.int32), mask


def _their_output(model, ids, mask):
  with torch.no_grad():
    return model(
      input_ids=torch.tensor(ids).long(), attention_mask=torch.tensor(mask)
    ).last_hidden_state.numpy()


def test_output_equals_the_reference(reference):
  state = reference.state_dict()
  config = t5_import.infer_config(state)
  assert (config.num_layers, config.head_dim, config.mlp_dim) == (3, 8, 80)
  params = t5_import.convert(state, config)
  ids, mask = _ids_and_mask()
  with jax.default_matmul_precision('highest'):
    ours = t5_encoder.T5Encoder(config).apply({'params': params}, ids, mask)
  theirs = _their_output(reference, ids, mask)
  np.testing.assert_allclose(
    np.asarray(ours)[mask], theirs[mask], atol=1e-5, rtol=1e-5
  )


@pytest.mark.parametrize('name', ['model.safetensors', 'pytorch_model.bin'])
def test_weights_are_read_from_files(reference, tmp_path, name):
  # A clone each: the file format does not keep tensors that share storage.
  state = {k: v.clone() for k, v in reference.state_dict().items()}
  if name.endswith('safetensors'):
    safetensors = pytest.importorskip('safetensors.torch')
    safetensors.save_file(state, tmp_path / name)
  else:
    torch.save(state, tmp_path / name)
  config, params = t5_import.load(tmp_path)
  expected = t5_import.convert(state, config)
  chex.assert_trees_all_equal(params, expected)
