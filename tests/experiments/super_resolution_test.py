"""The parts of runs that train super-resolution."""

import dataclasses
import json
import pathlib
import shutil

from flax import linen as nn
import jax
import pytest

from tests.experiments import pair_set
from videopoet_jax.core import entry
from videopoet_jax.core import errors
from videopoet_jax.data import tokens as tokens_lib
from videopoet_jax.experiments import super_resolution
from videopoet_jax.jobs import train
from videopoet_jax.models.super_resolution import presets
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.magvit2 import bundle
from videopoet_jax.tokenizers.magvit2 import config as visual_config
from videopoet_jax.training import metrics


@pytest.fixture(scope='module')
def tokenizers(tmp_path_factory):
  """Two untrained tokenizers, of the pair set's two codebooks."""
  root = tmp_path_factory.mktemp('tokenizers')
  folders = {}
  for name, bits in (('visual', 6), ('low', 4)):
    config = visual_config.VisualTokenizerConfig(
      architecture='patch',
      num_bits=bits,
      patch_hidden_dim=8,
      patch_dim=8,
      latent_dim=8,
      output_hidden_dim=8,
    )
    params = jax.jit(
      lambda key, config=config: nn.unbox(bundle.init_params(config, key))
    )(jax.random.key(0))
    bundle.VisualTokenizer(config, params).save(root / name)
    folders[name] = str(root / name)
  return folders


@pytest.fixture(scope='module')
def pairs(tokenizers, tmp_path_factory):
  """The pair set, said to be of these tokenizers."""
  folder = pair_set.write(tmp_path_factory.mktemp('pairs') / 'tokens')
  info = dataclasses.replace(
    tokens_lib.read_info(folder),
    visual_fingerprint=interface.load(tokenizers['visual']).fingerprint,
    low_fingerprint=interface.load(tokenizers['low']).fingerprint,
  )
  path = pathlib.Path(folder) / tokens_lib.INFO_FILE
  path.write_text(json.dumps(info.to_json()))
  return folder


def _config():
  return presets.preset(
    'sr_tiny', width=16, num_heads=2, head_dim=8, mlp_dim=16, text_slots=4
  )


def _parts(pairs, tokenizers, **options):
  return super_resolution.super_resolution(
    config=_config(),
    tokens=pairs,
    **{
      'visual_tokenizer': tokenizers['visual'],
      'low_tokenizer': tokenizers['low'],
      'tokens_per_batch': 384,
      'validation_batch_size': 8,
      **options,
    },
  )


def test_parts_take_sizes_and_tokenizers_from_the_data(pairs, tokenizers):
  parts = _parts(pairs, tokenizers)
  described = parts.trainable.describe()
  assert described['units'] == [
    'super_resolution/9x64x64',
    'super_resolution/1x64x64',
  ]
  assert described['fingerprints']['visual'] != described['fingerprints']['low']
  assert described['config']['text_vocab_size'] == 259
  assert set(parts.folders) == {'visual_tokenizer', 'low_tokenizer', 'text'}
  assert parts.validation.units() == tuple(described['units'])


def test_another_tokenizer_is_refused(pairs, tokenizers):
  with pytest.raises(errors.DataError, match='visual ids .* are of tokenizer'):
    _parts(pairs, tokenizers, visual_tokenizer=tokenizers['low'])
  with pytest.raises(errors.ConfigError, match='bind super_resolution.low_tok'):
    _parts(pairs, tokenizers, low_tokenizer='')


def test_text_embeddings_are_asked_for_where_there_are_none(pairs, tokenizers):
  config = dataclasses.replace(_config(), text='embeddings')
  with pytest.raises(errors.DataError, match='embed_text.*preset.text'):
    super_resolution.super_resolution(
      config=config, tokens=pairs, tokens_per_batch=384
    )


def test_a_run_resumes_and_its_folder_holds_all(pairs, tokenizers, tmp_path):
  bindings = {
    'TOKENS': pairs,
    'VISUAL': tokenizers['visual'],
    'LOW': tokenizers['low'],
    'super_resolution.units': ['super_resolution/9x64x64'],
    'super_resolution.weights': {},
    'super_resolution.tokens_per_batch': 384,
    'LoopConfig.tensorboard': False,
    'LoopConfig.save_every': 2,
    'LoopConfig.log_every': 1,
    'LoopConfig.validate_every': 0,
    'STEPS': 4,
  }

  def run(folder):
    flags = [f'--gin.{name}={value!r}' for name, value in bindings.items()]
    files = ('gin/runs/shapes_super_resolution.gin', 'gin/local_tiny.gin')
    flags += [f'--gin_file={file}' for file in files]
    assert entry.run(train.main, [*flags, f'--run_dir={folder}']) == 0
    return {
      r['step']: r['loss']
      for r in metrics.read(folder / 'metrics.jsonl')
      if 'loss' in r
    }

  whole = run(tmp_path / 'whole')
  shutil.copytree(tmp_path / 'whole', tmp_path / 'parts')
  shutil.rmtree(tmp_path / 'parts' / 'steps' / '4')
  (tmp_path / 'parts' / 'metrics.jsonl').unlink()
  assert run(tmp_path / 'parts') == {step: whole[step] for step in (3, 4)}
  assert set(whole) == {1, 2, 3, 4}
  for name in ('visual_tokenizer', 'low_tokenizer', 'text'):
    assert (tmp_path / 'whole' / name / 'checkpoint.json').is_file()
