"""Tests of tokenizers as safetensors and JSON."""

import json

import chex
from flax import linen as nn
import jax
import numpy as np
import pytest
import safetensors.numpy

from tests.tokenizers.magvit2 import configs
from tests.tokenizers.published import made
from tests.tokenizers.vidtok import convert_test
import videopoet_jax as vp
from videopoet_jax.core import errors
from videopoet_jax.tokenizers import exporting
from videopoet_jax.tokenizers.magvit2 import bundle as magvit2
from videopoet_jax.tokenizers.published import layout
from videopoet_jax.tokenizers.vidtok import bundle as vidtok


@pytest.fixture(name='ours', scope='module')
def _ours(tmp_path_factory):
  params = nn.unbox(magvit2.init_params(configs.PATCH, jax.random.key(0)))
  folder = tmp_path_factory.mktemp('ours') / 'tokenizer'
  tokenizer = magvit2.VisualTokenizer(configs.PATCH, params)
  tokenizer.save(folder)
  return folder, tokenizer


def test_our_tokenizer_comes_back_bit_for_bit(ours, tmp_path):
  folder, tokenizer = ours
  out = vp.export_tokenizer(folder, tmp_path / 'out')
  found = exporting.read_exported(out)
  assert found.config == tokenizer.config
  assert found.fingerprint == tokenizer.fingerprint
  chex.assert_trees_all_equal(found.params, tokenizer.params)
  imported = vp.import_tokenizer('videopoet', out, tmp_path / 'back')
  assert imported.spec == tokenizer.spec
  loaded = vp.load_tokenizer(tmp_path / 'back')
  assert loaded.fingerprint == tokenizer.fingerprint
  state = safetensors.numpy.load_file(out / 'model.safetensors')
  assert sum(map(np.size, state.values())) == imported.parameters
  with pytest.raises(errors.ConfigError, match='leave out --original_keys'):
    vp.export_tokenizer(folder, tmp_path / 'no', original_keys=True)


def test_an_imported_one_goes_out_under_its_original_keys(tmp_path):
  path = tmp_path / 'a_v1_1.safetensors'
  params = made.write(path, vidtok.VidTok, convert_test.TINY)
  made_of = vp.import_tokenizer('vidtok', path, tmp_path / 'made')
  out = vp.export_tokenizer(
    tmp_path / 'made', tmp_path / 'out_v1_1', original_keys=True
  )
  state = safetensors.numpy.load_file(out / 'model.safetensors')
  expected = layout.to_state(params)
  chex.assert_trees_all_equal(state, expected)
  found = exporting.read_exported(out)
  assert found.fingerprint == made_of.tokenizer.fingerprint


def test_files_that_do_not_belong_together_are_refused(ours, tmp_path):
  out = vp.export_tokenizer(ours[0], tmp_path / 'out')
  weights, config = out / 'model.safetensors', out / 'config.json'
  state = safetensors.numpy.load_file(weights)
  key = next(iter(state))
  safetensors.numpy.save_file(state | {key: state[key] + 1}, weights)
  with pytest.raises(errors.CheckpointError, match='does not belong to'):
    exporting.read_exported(out)
  weights.write_bytes(b'12345678')
  with pytest.raises(errors.CheckpointError, match='export it again'):
    exporting.read_exported(out)
  safetensors.numpy.save_file(state, weights)
  described = json.loads(config.read_text())
  for change, message in (
    ({'format': 'other'}, "its format is 'other'"),
    ({'kind': 'prefix_lm'}, 'which is not a tokenizer'),
    ({'keys': 'original'}, 'has the keys of another program'),
  ):
    config.write_text(json.dumps(described | change))
    with pytest.raises(errors.CheckpointError, match=message):
      exporting.read_exported(out)
  config.unlink()
  with pytest.raises(errors.CheckpointError, match='does not hold model'):
    exporting.read_exported(out)
