"""Blocks of Python on the pages run, in order, against tiny checkpoints."""

import os

import numpy as np
import pytest

from tests.docs import snippets
from tests.inference import folder
from tests.inference import super_resolution_folder
from videopoet_jax.core import specs
from videopoet_jax.data import layout_tasks
from videopoet_jax.data import tokens


def _blocks(page):
  return [b for b in snippets.of_page(page) if b.language == 'python']


@pytest.fixture(name='directory', scope='module')
def _directory(tmp_path_factory):
  """The folders that the pages name."""
  root = tmp_path_factory.mktemp('pages')
  folder.write(root / 'demo')
  super_resolution_folder.write(root / 'runs' / 'stage1')
  _write_tokens(root / 'data' / 'tokens')
  return root


def _write_tokens(path):
  """A token data set of 17 frames of 16 x 16."""
  visual = specs.VisualSpec(codebook_size=64)
  draw = np.random.default_rng(0)
  grid = visual.latent_shape(17, 16, 16)
  info = tokens.TokenInfo(visual, None, 'v1', '', (17, 16, 16))
  with tokens.TokenWriter(path, info) as writer:
    for index in range(16):
      example = {
        f'{name}_tokens': draw.integers(0, 64, grid, dtype=np.int32)
        for name in ('video', 'inpainting')
      }
      example |= {'text': 'a b', 'clip_id': str(index)}
      writer.write('train' if index < 12 else 'validation', example)


@pytest.fixture(name='page_names')
def _page_names():
  """Values that a page's words describe and its code only uses."""
  video = np.random.default_rng(0).integers(
    0, 256, (1, 17, 64, 64, 3), np.uint8
  )
  return {'docs/upscaling.md': {'video_64': video, 'captions': ['a b']}}


@pytest.mark.parametrize('page', snippets.pages_with('python'))
def test_blocks_of_python_run(
  page, directory, page_names, clean_registries, monkeypatch
):
  """One namespace a page; a block that is not run says why, and compiles."""
  monkeypatch.chdir(directory)
  names = {'__name__': page, **page_names.get(page, {})}
  try:
    for block in _blocks(page):
      code = compile(block.code, os.fspath(snippets.ROOT / page), 'exec')
      if not block.not_run:
        exec(code, names)
    if 'batches' in names:  # Data sets are lazy.
      assert next(iter(names['batches']))
  finally:
    layout_tasks.reset()


def test_blocks_and_the_reasons_not_to_run_them_are_found():
  text = 'a\n<!-- snippet: not run: why -->\n```python\nx = (\n```\n\n```\n```'
  first, second = snippets.blocks('page', text)
  assert first == snippets.Snippet('page', 3, 'python', 'x = (', 'why')
  assert (second.language, second.line, second.not_run) == ('', 7, '')
  with pytest.raises(SyntaxError, match='line 4'):
    compile(first.code, 'page', 'exec')
  with pytest.raises(ValueError, match='line 1: the block has no end'):
    snippets.blocks('page', '```sh')
