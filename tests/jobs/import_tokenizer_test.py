"""Tests of `videopoet import`."""

from tests.tokenizers.published import made
from tests.tokenizers.vidtok import convert_test
from videopoet_jax.jobs import cli
from videopoet_jax.tokenizers import interface
from videopoet_jax.tokenizers.vidtok import bundle


def test_the_command_writes_a_tokenizer(tmp_path, capsys):
  path = tmp_path / 'tiny.safetensors'
  made.write(path, bundle.VidTok, convert_test.TINY)
  out = tmp_path / 'out'
  command = ['import', '--from', 'vidtok', str(path), '--output', str(out)]
  assert cli.main([*command, '--set', 'version=1.1']) == 0
  assert f'{out}: VidTok, ' in capsys.readouterr().out
  assert interface.load(out).config == convert_test.TINY
  assert cli.main([*command, '--set', 'version']) == 2
  assert '--set version: it must be NAME=VALUE' in capsys.readouterr().err
