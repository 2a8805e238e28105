"""`videopoet shapes`: a data set of clips by flags, made once."""

import numpy as np
import pytest

from videopoet_jax.core import entry
from videopoet_jax.jobs import shapes
from videopoet_jax.shapes import config as shapes_config
from videopoet_jax.shapes import render

tf = pytest.importorskip('tensorflow')
builder = pytest.importorskip('videopoet_jax.shapes.builder')
records_lib = pytest.importorskip('videopoet_jax.data.records')

_FLAGS = [
  *('--frames', '5', '--height', '16', '--width', '16', '--ground', 'plain'),
  *('--train', '3', '--validation', '0', '--test_held_out', '2'),
]


def _run(output, *flags):
  return entry.run(shapes.main, ['--output', str(output), *_FLAGS, *flags])


def test_folder_holds_the_clips_that_the_flags_ask_for(tmp_path, capsys):
  output = tmp_path / 'data' / 'shapes'
  assert _run(output) == 0
  assert '5 clips in' in capsys.readouterr().out
  records = records_lib.open_records(output)
  assert records.splits == ('test_held_out', 'train')
  assert [records.size(split) for split in records.splits] == [2, 3]
  config = shapes_config.ShapesConfig(
    frames=5, height=16, width=16, ground='plain'
  )
  read = next(iter(records.examples('train').skip(1).as_numpy_iterator()))
  drawn = render.clip(config, 'train', 1)
  np.testing.assert_array_equal(read['video'], drawn.video_THW3)
  # Nothing of the making is left beside it.
  assert [path.name for path in output.parent.iterdir()] == ['shapes']


def test_second_run_leaves_it_and_another_set_is_refused(tmp_path, capsys):
  output = tmp_path / 'shapes'
  assert _run(output) == 0
  written = {p: p.stat().st_mtime_ns for p in output.iterdir()}
  assert _run(output) == 0
  assert 'already' in capsys.readouterr().out
  for other in (['--seed', '1'], ['--train', '4']):
    assert _run(output, *other) == 2
    assert 'another data set' in capsys.readouterr().err
  assert {p: p.stat().st_mtime_ns for p in output.iterdir()} == written


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--train', '-1'], 'none may be below 0'),
    (['--train', '0', '--test_held_out', '0'], 'one must have clips'),
    (['--processes', '0'], '--processes is 0'),
    (['--edges', 'wrap'], "ShapesConfig.edges is 'wrap'"),
    (['--height', '8'], 'at least 16 x 16'),
  ],
)
def test_mistakes_are_one_line(tmp_path, capsys, flags, message):
  assert _run(tmp_path / 'shapes', *flags) == 2
  assert message in capsys.readouterr().err
  assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_written_over(tmp_path, capsys):
  (tmp_path / 'notes').write_text('mine')
  for output in (tmp_path, tmp_path / 'notes'):
    assert _run(output) == 2
    assert str(output) in capsys.readouterr().err
  assert (tmp_path / 'notes').read_text() == 'mine'


def test_folder_that_cannot_be_written(tmp_path, capsys):
  (tmp_path / 'file').write_text('')
  assert _run(tmp_path / 'file' / 'shapes') == 2
  assert 'cannot be written' in capsys.readouterr().err


def test_full_disk_is_told_with_what_is_needed(tmp_path, capsys, monkeypatch):
  def fill(directory, *_):
    (tmp_path / 'shapes.unfinished').mkdir()
    raise tf.errors.ResourceExhaustedError(None, None, directory)

  monkeypatch.setattr(builder, 'build', fill)
  sizes = ['--train', '100000', '--height', '100', '--width', '100']
  assert _run(tmp_path / 'shapes', *sizes) == 2
  # 100,000 clips of 5 frames of 100 x 100 at 9 bytes, and their sound.
  assert 'uncompressed, 47.0 GB' in capsys.readouterr().err
  assert not list(tmp_path.iterdir())
