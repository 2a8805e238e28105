"""Tests of `videopoet prepare` from the command line to the data set."""

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from tests.media import media_files
from tests.preparation import data_files
from tests.training import processes
from videopoet_jax.core import entry
from videopoet_jax.data.ingest import clips
from videopoet_jax.jobs import cli
from videopoet_jax.jobs import prepare

_SIZE = ['--frames', '5', '--height', '16', '--width', '16']


@pytest.fixture
def videos(tmp_path):
  """Two good files, one with sound; three that cannot be used."""
  folder = tmp_path / 'videos'
  folder.mkdir()
  tone = media_files.tone(3.0, 48_000, 440)[None]
  media_files.ramp_file(folder / 'sound.mp4', 3.0, samples_CT=tone)
  media_files.ramp_file(folder / 'silent.avi', 2.0)
  media_files.ramp_file(folder / 'short.mp4', 0.3)
  (folder / 'words.mp4').write_text('not a video ' * 30)
  cut = media_files.ramp_file(folder / 'cut.mp4', 2.0)
  cut.write_bytes(cut.read_bytes()[:2000])
  return folder


def _prepare(*args) -> int:
  return cli.main(['prepare', *_SIZE, *map(str, args)])


def test_good_files_are_written_and_bad_ones_named(videos, tmp_path, capsys):
  output = tmp_path / 'set'
  assert _prepare('--input', videos, '--output', output) == 1
  printed = capsys.readouterr()
  for name, reason in [
    ('short.mp4', 'too short'),
    ('words.mp4', 'is not a video'),
    ('cut.mp4', 'cut off or damaged'),
  ]:
    assert any(
      name in line and reason in line for line in printed.out.splitlines()
    )
  assert '1 files have no sound track' in printed.out
  builder = tfds.builder_from_directory(str(output))
  clips = [e for s in builder.as_data_source().values() for e in s]
  sources = {e['source'].decode(): bool(e['has_audio']) for e in clips}
  assert sources == {'sound.mp4': True, 'silent.avi': False}
  # 24 and 16 frames at 8 a second, five to a clip.
  assert len(clips) == 4 + 3
  assert len(builder.as_data_source('validation')) == 1


def test_only_good_files_end_with_status_0(videos, tmp_path):
  inputs = [videos / 'sound.mp4', videos / 'silent.avi']
  output = tmp_path / 'set'
  args = ['--input', *inputs, '--output', output, '--validation_share', 0]
  assert _prepare(*args) == 0
  assert set(tfds.builder_from_directory(str(output)).info.splits) == {'train'}


def test_strict_stops_and_writes_nothing(videos, tmp_path, capsys):
  output = tmp_path / 'set'
  assert _prepare('--input', videos, '--output', output, '--strict') == 2
  assert len(capsys.readouterr().err.strip().splitlines()) == 1
  assert sorted(p.name for p in tmp_path.iterdir()) == ['videos']


def test_nothing_usable(videos, tmp_path, capsys):
  args = ['--input', videos / 'words.mp4', '--output', tmp_path / 'set']
  assert _prepare(*args) == 2
  assert 'none of the 1 files' in capsys.readouterr().err
  assert not (tmp_path / 'set').exists()


def test_empty_folder(tmp_path, capsys):
  (tmp_path / 'empty').mkdir()
  args = ['--input', tmp_path / 'empty', '--output', tmp_path / 'set']
  assert _prepare(*args) == 2
  assert 'holds no video' in capsys.readouterr().err


def test_a_folder_of_pictures_is_a_set_of_single_frames(tmp_path, capsys):
  folder, output = tmp_path / 'pictures', tmp_path / 'set'
  (folder / 'more').mkdir(parents=True)
  for number, name in enumerate(('a.png', 'b.JPG', 'more/c.jpeg', 'd.webp')):
    picture = np.full((20, 24, 3), 40 * number, np.uint8)
    Image.fromarray(picture).save(folder / name)
  captions = tmp_path / 'captions.csv'
  captions.write_text('clip,caption\nmore/c.jpeg,a grey square\n')
  flags = ['--input', folder, '--output', output, '--captions', captions]
  # A clip of five frames cannot be made of a picture.
  assert _prepare(*flags) == 2
  assert 'holds no video' in capsys.readouterr().err
  assert _prepare(*flags, '--frames', '1') == 0
  builder = tfds.builder_from_directory(str(output))
  found = {
    e['source'].decode(): e
    for examples in builder.as_data_source().values()
    for e in examples
  }
  assert set(found) == {'a.png', 'b.JPG', 'more/c.jpeg', 'd.webp'}
  assert found['more/c.jpeg']['caption'] == b'a grey square'
  assert all(e['video'].shape == (1, 16, 16, 3) for e in found.values())
  assert abs(int(found['b.JPG']['video'].mean()) - 40) <= 1


def test_captions_reach_the_examples(videos, tmp_path):
  captions = tmp_path / 'captions.csv'
  captions.write_text('clip,caption\nsound,a rising grey\nsound#1,later\n')
  output = tmp_path / 'set'
  inputs = ['--input', videos / 'sound.mp4', '--output', output]
  assert _prepare(*inputs, '--captions', captions) == 0
  sources = tfds.builder_from_directory(str(output)).as_data_source()
  texts = {e['clip_id']: e['caption'] for s in sources.values() for e in s}
  assert texts[b'sound.mp4#00000'] == b'a rising grey'
  assert texts[b'sound.mp4#00001'] == b'later'


def test_numbers_of_the_captions_file_reach_the_examples(videos, tmp_path):
  captions = tmp_path / 'captions.csv'
  captions.write_text('clip,caption,quality\nsound#1,later,0.75\n')
  output = tmp_path / 'set'
  inputs = ['--input', videos / 'sound.mp4', '--output', output]
  assert _prepare(*inputs, '--captions', captions, '--numbers', 'quality') == 0
  sources = tfds.builder_from_directory(str(output)).as_data_source()
  known = {e['clip_id']: e['quality'] for s in sources.values() for e in s}
  assert known.pop(b'sound.mp4#00001') == 0.75
  assert len(known) == 3 and all(np.isnan(value) for value in known.values())


def test_captions_that_name_missing_clips(videos, tmp_path, capsys):
  captions = tmp_path / 'captions.json'
  captions.write_text('{"sounds.mp4": "text"}')
  args = ['--input', videos, '--output', tmp_path / 'set']
  assert _prepare(*args, '--captions', captions) == 2
  message = capsys.readouterr().err
  assert "names 'sounds.mp4'" in message
  assert "did you mean 'sound.mp4'" in message
  assert not (tmp_path / 'set').exists()


def test_captions_of_clips_that_a_file_is_too_short_for(
  videos, tmp_path, capsys
):
  captions = tmp_path / 'captions.csv'
  captions.write_text('clip,caption\nsound#1,later\nsound#40,never\n')
  args = ['--input', videos / 'sound.mp4', '--output', tmp_path / 'set']
  assert _prepare(*args, '--captions', captions) == 2
  message = capsys.readouterr().err
  assert "the clip 'sound.mp4#00040'; that file has 5 at most" in message
  assert not (tmp_path / 'set').exists()


def test_max_clips(videos, tmp_path):
  output = tmp_path / 'set'
  args = ['--input', videos / 'sound.mp4', '--output', output]
  assert _prepare(*args, '--max_clips', 2) == 0
  splits = tfds.builder_from_directory(str(output)).info.splits
  assert sum(s.num_examples for s in splits.values()) == 2


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--validation_share', '0.9'], '--validation_share is 0.9'),
    (['--frame_rate', '0'], '--frame_rate is 0'),
    (['--max_clips', '0'], '--max_clips is 0'),
    (['--numbers', 'quality'], 'columns of --captions'),
    (['--numbers', 'start'], 'have a feature of that name'),
  ],
)
def test_impossible_flags(videos, tmp_path, capsys, flags, message):
  args = ['--input', videos, '--output', tmp_path / 'set', *flags]
  assert _prepare(*args) == 2
  assert message in capsys.readouterr().err


def test_unwritable_output(videos, tmp_path, capsys):
  (tmp_path / 'file').touch()
  args = ['--input', videos, '--output', tmp_path / 'file' / 'set']
  assert _prepare(*args) == 2
  assert 'cannot be written' in capsys.readouterr().err


def test_same_input_gives_the_same_examples(videos, tmp_path):
  found = []
  for name in ['one', 'two']:
    args = ['--input', videos / 'sound.mp4', '--output', tmp_path / name]
    assert _prepare(*args) == 0
    builder = tfds.builder_from_directory(str(tmp_path / name))
    found.append(builder.as_data_source('train'))
  for one, two in zip(*found):
    np.testing.assert_array_equal(one['video'], two['video'])
    np.testing.assert_array_equal(one['audio'], two['audio'])


def test_two_hosts_write_the_files_of_one(videos, tmp_path):
  flags = ['--input', videos, '--validation_share', 0.3, '--max_clips', 6]
  assert _prepare(*flags, '--output', tmp_path / 'one') == 1
  command = [
    'videopoet_jax.jobs.prepare', *_SIZE, *map(str, flags),
    '--output', str(tmp_path / 'two'),
  ]  # fmt: skip
  printed = processes.finish(processes.start(command, processes=2))
  assert data_files.read(tmp_path / 'two') == data_files.read(tmp_path / 'one')
  assert sorted(p.name for p in tmp_path.iterdir()) == ['one', 'two', 'videos']
  # The summary is printed once, for all.
  assert printed.count('3 files were skipped:') == 1
  assert printed.count(' clips in ') == 1


def test_an_interrupted_job_goes_on(videos, tmp_path, monkeypatch, capsys):
  flags = ['--input', videos, '--validation_share', 0.3]
  _prepare(*flags, '--output', tmp_path / 'whole')
  whole, decoded = clips.cut, []

  def cut(path, source, config):
    decoded.append(source)
    if source == 'sound.mp4' and decoded.count(source) == 1:
      raise KeyboardInterrupt
    return whole(path, source, config)

  monkeypatch.setattr(clips, 'cut', cut)
  output = tmp_path / 'set'
  assert _prepare(*flags, '--output', output) == 130
  assert not output.exists()
  assert 'the same command resumes from there' in capsys.readouterr().err
  assert _prepare(*flags, '--output', output) == 1
  printed = capsys.readouterr()
  assert 'resuming: 2 pieces are finished' in printed.out
  assert 'short.mp4' in printed.out  # Its reason is remembered.
  assert decoded == ['short.mp4', 'silent.avi', 'sound.mp4', 'sound.mp4']
  assert data_files.read(output) == data_files.read(tmp_path / 'whole')


def test_a_set_says_how_it_was_cut(videos, tmp_path):
  inputs = ['--input', videos / 'sound.mp4', videos / 'silent.avi']
  for index, (flags, cut, rate, clips_there) in enumerate(
    [
      ([], 'consecutive', 8.0, 7),
      (['--cut', 'central'], 'central', 8.0, 2),
      (['--cut', 'first', '--frame_rate', 'native'], 'first', 'native', 2),
    ]
  ):
    output = tmp_path / str(index)
    assert _prepare(*inputs, '--output', output, *flags) == 0
    builder = tfds.builder_from_directory(str(output))
    metadata = builder.info.metadata
    assert (metadata['cut'], metadata['frame_rate']) == (cut, rate)
    assert metadata['num_frames'] == 5
    assert ('audio' in builder.info.features) == (rate != 'native')
    assert sum(len(s) for s in builder.as_data_source().values()) == clips_there


def test_impossible_rates_and_cuts_are_one_line(videos, tmp_path, capsys):
  for flags, message in [
    (['--frame_rate', 'slow'], "--frame_rate is 'slow'; expected frames"),
    (['--cut', 'centre'], "did you mean 'central'"),
  ]:
    given = [*_SIZE, '--input', videos, '--output', tmp_path / 'x', *flags]
    assert entry.run(prepare.main, [str(flag) for flag in given]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
