"""Commands on the pages are taken by the parsers, and name files that exist."""

import argparse
import importlib.util
import itertools
import re
import shlex

import gin
import pytest

from tests.docs import shell
from tests.docs import snippets
from videopoet_jax.core import config
from videopoet_jax.core import paths
from videopoet_jax.jobs import cli

_INLINE = re.compile(r'`(videopoet [^`]+)`')
# Paths of the repository in words, code or links, but for patterns.
_PATH = re.compile(
  r'(?<![\w/.$-])(?:gin|tasks|launch|tests|docs|videopoet_jax)/[\w./-]*'
  r'(?![\w*<{])'
)


class _Parsed(Exception):
  """Ends a job once its flags are read."""


@pytest.fixture(name='check')
def _check(monkeypatch, clean_registries):
  """Lets a job read its flags, and gin the bindings of a training run.

  `...` stands for flags that are left out, and flags may then have no value.
  """
  original = argparse.ArgumentParser.parse_args
  elided = False

  def parse_args(parser, *arguments):
    for action in parser._actions if elided else ():
      action.required = False
      action.nargs = {None: '?', '+': '*'}.get(action.nargs, action.nargs)
    original(parser, *arguments)
    raise _Parsed

  monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_args)

  def call(words):
    nonlocal elided
    elided = '...' in words
    words = [word for word in words if word not in ('...', '&')]
    gin.clear_config()  # Jobs register what they import with it.
    with pytest.raises(_Parsed):
      status = cli.main(words)
      assert status == 0 and words[0].startswith('-'), shlex.join(words)
      raise _Parsed
    if words[0] == 'train':
      _parse_gin(words, not elided)

  return call


def _parse_gin(words, whole):
  """Reads files and bindings; a file that is the reader's is left out."""
  bindings, rest = config.split_arguments(words)
  files = [b for a, b in itertools.pairwise(rest) if a == '--gin_file']
  shipped = paths.gin_files()
  if files and all(file in shipped for file in files):
    config.parse(files, bindings, finalize=whole)


@pytest.mark.parametrize('page', snippets.pages_with(*snippets.SHELL))
def test_commands_are_taken(page, check, tmp_path, capsys):
  for program, *words in shell.commands(page, tmp_path):
    line = f'{page}: {shlex.join([program, *words])}'
    try:
      if program == 'videopoet':
        check(words)
      elif program == 'python' and words[1].startswith('videopoet_jax'):
        assert importlib.util.find_spec(words[1])
    except (Exception, SystemExit, pytest.fail.Exception) as error:
      printed = capsys.readouterr().err
      raise AssertionError(f'{line}\n{printed}{error!r}') from error


@pytest.mark.parametrize('page', snippets.PAGES)
def test_commands_in_sentences_are_taken(page, check):
  for line in _INLINE.findall(snippets.read(page)):
    print(page, ' '.join(line.split()))  # Shown if it fails.
    check([*shlex.split(line)[1:], '...'])


@pytest.mark.parametrize('page', snippets.PAGES)
def test_commands_stand_in_blocks_of_shell(page):
  loose = [
    block
    for block in snippets.of_page(page)
    if block.language not in snippets.SHELL
    and re.search(r'^videopoet ', block.text, re.MULTILINE)
  ]
  assert not loose


@pytest.mark.parametrize('page', snippets.PAGES)
def test_paths_exist(page):
  named = {path.rstrip('.') for path in _PATH.findall(snippets.read(page))}
  assert not [path for path in named if not (snippets.ROOT / path).exists()]


def test_the_check_itself(check, tmp_path, monkeypatch):
  check(['train', '--gin_file', 'gin/local_tiny.gin', '...'])
  for words in (['train', '--gin_fil'], ['layouts', '--framse', '3'], ['lay']):
    with pytest.raises((SystemExit, AssertionError)):
      check(words)
  text = '```sh\nA=(b "c d")\nno_such_program\nfor i in 1 2; do\n'
  text += '  launch/slurm.sh --x -- videopoet y "${A[@]}" $i\ndone\n```\n'
  monkeypatch.setattr(snippets, 'read', lambda page: text)
  found = shell.commands('page', tmp_path)
  assert found == [['videopoet', 'y', 'b', 'c d', number] for number in '12']
