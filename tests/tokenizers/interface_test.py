"""Tests of tokenizer folders and batches."""

import dataclasses
import json

from flax import linen as nn
import jax
import numpy as np
import pytest

from tests.tokenizers.magvit2 import configs
from videopoet_jax.checkpoints import describe
from videopoet_jax.core import errors
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.magvit2 import bundle


@pytest.fixture(scope='module')
def tokenizer():
  params = nn.unbox(bundle.init_params(configs.PATCH, jax.random.key(0)))
  return bundle.VisualTokenizer(configs.PATCH, params, batch_size=4)


@pytest.fixture(scope='module')
def video():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (6, 5, 16, 16, 3), np.uint8)


def test_folder_round_trip(tokenizer, video, tmp_path):
  folder = tmp_path / 'deep' / 'tokenizer'
  tokenizer.save(folder)
  loaded = interface.load(folder)
  assert isinstance(loaded, bundle.VisualTokenizer)
  assert loaded.config == tokenizer.config
  assert loaded.spec == tokenizer.spec
  assert loaded.fingerprint == tokenizer.fingerprint
  np.testing.assert_array_equal(loaded.encode(video), tokenizer.encode(video))


@pytest.mark.parametrize(
  ('name', 'fingerprint'),
  [('magvit2', '839e2019fb574f88'), ('patch', '190b67e41a9059d7')],
)
def test_fingerprints_of_earlier_versions_stay(name, fingerprint):
  # Computed by the version before there was a choice of quantizers.
  params = {'a': {'b': np.arange(6, dtype=np.float32).reshape(2, 3)}}
  assert interface.fingerprint_of(configs.BOTH[name], params) == fingerprint


def test_a_folder_of_an_earlier_version_opens(tokenizer, tmp_path):
  tokenizer.save(tmp_path)
  path = tmp_path / describe.FILE_NAME
  stored = json.loads(path.read_text())['config']
  later = {
    'quantizer', 'fsq_levels', 'vq_codebook_size', 'vq_code_dim', 'vq_gradient',
  }  # fmt: skip
  assert not later & set(stored), 'earlier versions read this folder, too'
  assert later <= {field.name for field in dataclasses.fields(tokenizer.config)}
  assert interface.load(tmp_path).config.quantizer == 'lfq'


def test_another_quantizer_has_another_fingerprint(tokenizer, tmp_path):
  config = dataclasses.replace(tokenizer.config, quantizer='bsq')
  other = bundle.VisualTokenizer(config, tokenizer.params)
  assert other.fingerprint != tokenizer.fingerprint
  other.save(tmp_path)
  assert interface.load(tmp_path).config == config


def test_a_remainder_is_encoded_and_decoded_like_the_rest(tokenizer, video):
  ids = tokenizer.encode(video)
  assert (ids.shape, ids.dtype) == ((6, 2, 2, 2), np.int32)
  np.testing.assert_array_equal(ids[4:], tokenizer.encode(video[2:])[2:])
  pixels = tokenizer.decode(ids)
  assert (pixels.shape, pixels.dtype) == (video.shape, np.float32)
  np.testing.assert_allclose(
    pixels[4:], tokenizer.decode(ids[2:])[2:], atol=1e-5
  )


def test_fingerprint_is_of_config_and_weights(tokenizer):
  same = bundle.VisualTokenizer(tokenizer.config, tokenizer.params)
  assert same.fingerprint == tokenizer.fingerprint
  scaled = jax.tree.map(lambda leaf: leaf * 1.001, tokenizer.params)
  config = dataclasses.replace(tokenizer.config, frame_rate=4.0)
  others = {
    bundle.VisualTokenizer(tokenizer.config, scaled).fingerprint,
    bundle.VisualTokenizer(config, tokenizer.params).fingerprint,
    tokenizer.fingerprint,
  }
  assert len(others) == 3


def test_bad_ids_are_refused(tokenizer):
  with pytest.raises(errors.LayoutError, match='outside'):
    tokenizer.decode(np.full((1, 2, 2, 2), 64))
  with pytest.raises(errors.LayoutError, match='batch, t, h, w'):
    tokenizer.decode(np.zeros((2, 2, 2), np.int32))


@pytest.fixture
def folder(tokenizer, tmp_path):
  tokenizer.save(tmp_path)
  return tmp_path


def _edit(folder, **changes):
  path = folder / describe.FILE_NAME
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_other_kinds_are_refused(folder):
  with pytest.raises(errors.CheckpointError, match='audio_tokenizer'):
    interface.load(folder, 'audio_tokenizer')
  _edit(folder, kind='prefix_lm')
  with pytest.raises(errors.CheckpointError, match='not a tokenizer'):
    interface.load(folder)


def test_other_weights_are_refused(folder):
  _edit(folder, fingerprint='0' * 16)
  with pytest.raises(errors.CheckpointError, match='not those'):
    interface.load(folder)


def test_unknown_settings_are_refused(folder, tokenizer):
  _edit(folder, config=dataclasses.asdict(tokenizer.config) | {'colour': 1})
  with pytest.raises(errors.CheckpointError, match='colour'):
    interface.load(folder)


def test_half_written_folder_is_refused(folder):
  (folder / describe.FILE_NAME).unlink()
  with pytest.raises(errors.CheckpointError, match='half written'):
    interface.load(folder)
