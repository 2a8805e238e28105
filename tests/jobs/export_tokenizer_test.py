"""Tests of `videopoet export`."""

from tests.tokenizers.published import made
from tests.tokenizers.vidtok import convert_test
from videopoet_jax.jobs import cli
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.vidtok import bundle


def test_a_tokenizer_goes_out_and_comes_back(tmp_path, capsys):
  config = convert_test.TINY
  params = made.random_params(bundle.VidTok, config)
  bundle.VidTok(config, params).save(tmp_path / 'made')
  out, back = str(tmp_path / 'out'), str(tmp_path / 'back')
  assert cli.main(['export', str(tmp_path / 'made'), '--output', out]) == 0
  assert capsys.readouterr().out == (
    f'{out}: model.safetensors and config.json\n'
  )
  command = ['import', '--from', 'videopoet', out, '--output', back]
  assert cli.main(command) == 0
  assert f'{back}: exported vidtok, ' in capsys.readouterr().out
  found = interface.load(back).fingerprint
  assert found == interface.load(tmp_path / 'made').fingerprint
  assert cli.main([*command, '--set', 'version=1.0']) == 2
  assert 'leave out --set' in capsys.readouterr().err
