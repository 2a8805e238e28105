"""Tests of imports, whatever the family: files, settings, messages."""

import builtins
import re

import chex
import numpy as np
import pytest

from tests.tokenizers.published import made
from tests.tokenizers.vidtok import convert_test
import videopoet_jax as vp
from videopoet_jax.core import errors
from videopoet_jax.tokenizers import importing
from videopoet_jax.tokenizers.published import layout
from videopoet_jax.tokenizers.vidtok import bundle

_CONFIG = convert_test.TINY
_KEY = 'decoder.conv_in.conv.bias'


def _import(tmp_path, name='a_v1_1.safetensors', settings=None, **flags):
  return vp.import_tokenizer(
    'vidtok', tmp_path / name, tmp_path / 'out', settings, **flags
  )


def test_the_summary_says_what_was_read(tmp_path):
  loss = {'loss.logvar': np.zeros((), np.float32)}
  made.write(tmp_path / 'a_v1_1.safetensors', bundle.VidTok, _CONFIG, loss)
  found = _import(tmp_path, settings={'frame_rate': '24'})
  count = layout.count(found.tokenizer.params)
  assert found.parameters == count
  assert found.spec.frame_rate == 24
  assert str(found).splitlines() == [
    f'{tmp_path}/out: VidTok, {count:,} parameters, 1 arrays left out',
    '  512 codes; a cell is 2 x 2 pixels and 2 frames',
    '  clips of 1 + 2 k frames; height and width are multiples of 2',
    '  settings: version=1.1, levels=8,8,8, channels=8,'
    ' channel_multipliers=1,2, num_residual_blocks=1,'
    ' down_levels=0, up_levels=1, frame_rate=24.0',
  ]


def test_averaged_weights_are_taken_unless_told_otherwise(tmp_path):
  params = made.random_params(bundle.VidTok, _CONFIG, seed=5)
  averages = {
    'model_ema.' + key.replace('.', ''): array
    for key, array in layout.to_state(params).items()
  } | {'model_ema.decay': np.zeros((), np.float32)}
  path = tmp_path / 'a_v1_1.safetensors'
  last = made.write(path, bundle.VidTok, _CONFIG, averages)
  found = _import(tmp_path)
  assert found.averaged and 'averaged weights' in str(found)
  chex.assert_trees_all_equal(found.tokenizer.params, params)
  found = _import(tmp_path, averaged=False)
  assert not found.averaged
  chex.assert_trees_all_equal(found.tokenizer.params, last)
  made.write(path, bundle.VidTok, _CONFIG)
  with pytest.raises(errors.ConfigError, match='leave out --last_weights'):
    _import(tmp_path, averaged=False)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (
      {'without': (_KEY, 'decoder.conv_out.conv.bias')},
      f'2 missing ({_KEY}, decoder.conv_out.conv.bias)',
    ),
    ({'more': {'encoder.x': np.zeros(1)}}, '1 not known (encoder.x)'),
    (
      {'more': {_KEY: np.zeros(3, np.float32)}},
      f'1 of another shape ({_KEY} (3,) instead of (16,))',
    ),
    (
      {'more': {f'encoder.x{index}': np.zeros(1) for index in range(9)}},
      'encoder.x2, encoder.x3 and 5 more)',
    ),
  ],
)
def test_keys_that_do_not_fit_are_listed(tmp_path, change, message):
  path = tmp_path / 'a_v1_1.safetensors'
  made.write(path, bundle.VidTok, _CONFIG, **change)
  with pytest.raises(errors.CheckpointError, match=re.escape(message)) as found:
    _import(tmp_path)
  assert str(path) in str(found.value)
  assert not (tmp_path / 'out').exists()


def test_wrong_files_and_settings_are_refused(tmp_path):
  def refused(message, kind=errors.CheckpointError, **call):
    with pytest.raises(kind, match=message):
      _import(tmp_path, **call)

  refused('is not a file; give a checkpoint', name='missing.safetensors')
  (tmp_path / 'a.txt').write_text('')
  refused('does not end with one of', name='a.txt')
  (tmp_path / 'a.safetensors').write_bytes(b'1234567890')
  refused('cannot be read as safetensors', name='a.safetensors')
  (tmp_path / 'folder').mkdir()
  refused('is a folder; give a checkpoint file', name='folder')
  wrong = errors.ConfigError
  refused(
    '--set channels=8: VidTok has no such', wrong, settings={'channels': '8'}
  )
  refused('--set levels=8,x: it must be', wrong, settings={'levels': '8,x'})
  with pytest.raises(errors.ConfigError, match=r'--from is .vidtoc. .did you'):
    importing.import_tokenizer('vidtoc', tmp_path, tmp_path)


def test_pickles_need_torch(tmp_path, monkeypatch):
  (tmp_path / 'a.ckpt').write_bytes(b'not a pickle')
  load = builtins.__import__

  def without_torch(name, *args, **kwargs):
    if name == 'torch':
      raise ImportError(name)
    return load(name, *args, **kwargs)

  monkeypatch.setattr(builtins, '__import__', without_torch)
  with pytest.raises(errors.CheckpointError, match='needs PyTorch, and'):
    _import(tmp_path, 'a.ckpt')
