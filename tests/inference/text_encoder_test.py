"""Text encoders: released weights to a folder of ours, and embeddings."""

import json

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from tests.inference import t5_folder
from tests.models import t5x_files
from videopoet_jax.core import errors
from videopoet_jax.inference import text_encoder
from videopoet_jax.models import t5_encoder
from videopoet_jax.models import t5_import
from videopoet_jax.tokenizers import text as text_lib


@pytest.fixture(scope='module')
def released(tmp_path_factory):
  path = tmp_path_factory.mktemp('t5')
  t5_folder.write(path)
  return path


@pytest.fixture(scope='module')
def encoder(released):
  return text_encoder.open_encoder(released)


def test_sizes_and_reach_come_from_the_folder(encoder):
  config = encoder.config
  assert (config.embed_dim, config.num_layers, config.num_heads) == (16, 2, 2)
  assert (config.head_dim, config.mlp_dim, config.max_distance) == (4, 24, 20)


def test_a_text_is_the_same_in_any_batch_and_unused_slots_are_zero(encoder):
  texts = ['a red ball', 'a blue ball goes up', '']
  encoder.batch_size = 2
  embeddings, used = encoder.embed(texts, 9)
  assert embeddings.shape == (3, 9, 16) and embeddings.dtype == np.float32
  pieces = [len(encoder.tokenizer.pieces(text)) + 1 for text in texts]
  assert used.tolist() == [min(n, 9) for n in pieces] and used[2] == 1
  for row, count in enumerate(used):
    assert np.abs(embeddings[row, :count]).max(axis=-1).min() > 0
    assert not embeddings[row, count:].any()
  alone, _ = encoder.embed(texts[1:2], 9)
  np.testing.assert_allclose(alone[0], embeddings[1], atol=1e-5)
  model = t5_encoder.T5Encoder(encoder.config)
  ids = encoder.tokenizer.encode(texts[:1], 9)
  expected = model.apply({'params': encoder.params}, ids)[0, : used[0]]
  np.testing.assert_allclose(embeddings[0, : used[0]], expected, atol=1e-5)


def test_a_saved_encoder_is_the_same(encoder, tmp_path):
  encoder.save(tmp_path / 'saved')
  loaded = text_encoder.open_encoder(tmp_path / 'saved')
  assert loaded.fingerprint == encoder.fingerprint
  texts = ['a red ball']
  np.testing.assert_allclose(
    loaded.embed(texts, 8)[0], encoder.embed(texts, 8)[0], atol=1e-6
  )
  written = (tmp_path / 'saved' / 'checkpoint.json').stat().st_mtime_ns
  encoder.save(tmp_path / 'saved')
  again = (tmp_path / 'saved' / 'checkpoint.json').stat().st_mtime_ns
  assert again == written
  file = tmp_path / 'saved' / 'checkpoint.json'
  described = json.loads(file.read_text())
  file.write_text(json.dumps(described | {'fingerprint': '0' * 16}))
  with pytest.raises(errors.CheckpointError, match='not those it was written'):
    text_encoder.load(tmp_path / 'saved')


def test_a_checkpoint_of_t5x_is_the_same_encoder(released, tmp_path):
  state = safetensors_numpy.load_file(released / 'model.safetensors')
  plain, folder = tmp_path / 'plain', tmp_path / 'checkpoint_1000000'
  plain.mkdir()
  safetensors_numpy.save_file(state, plain / 'model.safetensors')
  t5x_files.write(folder, t5x_files.target(state, 2))
  with pytest.raises(errors.CheckpointError) as raised:
    text_encoder.open_encoder(folder)
  for part in (str(folder), '--sentencepiece', 'gs://t5-data/vocabs/cc_all'):
    assert part in str(raised.value)
  model = released / text_lib.MODEL_FILE
  given = text_encoder.open_encoder(plain, sentencepiece=str(model))
  (folder / text_lib.MODEL_FILE).write_bytes(model.read_bytes())
  beside = text_encoder.open_encoder(f'file://{folder}')
  assert beside.fingerprint == given.fingerprint
  texts = ['a red ball goes up']
  np.testing.assert_array_equal(
    beside.embed(texts, 8)[0], given.embed(texts, 8)[0]
  )
  for file in (folder / 'checkpoint', folder):
    encoder = text_encoder.open_encoder(file, sentencepiece=str(model))
    assert encoder.fingerprint == given.fingerprint
  embed = text_encoder.beside(
    tmp_path, {'text_encoder': given.fingerprint}, folder
  )
  np.testing.assert_array_equal(embed(texts, 8)[0], given.embed(texts, 8)[0])


def test_weights_in_parts_are_the_same_weights(released, encoder, tmp_path):
  state = safetensors_numpy.load_file(released / 'model.safetensors')
  names = sorted(state)
  parts = {'one.safetensors': names[::2], 'two.safetensors': names[1::2]}
  for file, held in parts.items():
    safetensors_numpy.save_file({n: state[n] for n in held}, tmp_path / file)
  index = {n: file for file, held in parts.items() for n in held}
  (tmp_path / 'model.safetensors.index.json').write_text(
    json.dumps({'weight_map': index})
  )
  _, params = t5_import.load(tmp_path)
  np.testing.assert_array_equal(
    params['block_1']['mlp']['down']['kernel'],
    encoder.params['block_1']['mlp']['down']['kernel'],
  )
  (tmp_path / 'two.safetensors').unlink()
  with pytest.raises(errors.CheckpointError, match='all of its parts'):
    t5_import.load(tmp_path)


def test_mistakes_are_named(released, tmp_path):
  with pytest.raises(errors.ConfigError, match="did you mean 'small'"):
    text_encoder.open_encoder(released, 'smal')
  with pytest.raises(errors.ConfigError, match='embed_dim 16, not 2048'):
    text_encoder.open_encoder(released, 'xl')
  weights = released / 'model.safetensors'
  alone = tmp_path / 'model.safetensors'
  alone.write_bytes(weights.read_bytes())
  with pytest.raises(errors.CheckpointError, match='--sentencepiece'):
    text_encoder.open_encoder(alone)
  with pytest.raises(errors.CheckpointError, match='tokenizer has 259 ids'):
    text_encoder.open_encoder(alone, sentencepiece='bytes')
  for damage in (weights.read_bytes()[:-8], b'', b'\xff' * 64):
    alone.write_bytes(damage)
    with pytest.raises(errors.CheckpointError, match='cannot be read as safet'):
      t5_import.load(alone)
