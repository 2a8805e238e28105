"""Tests of writing a data set: what is read back, and nothing half written."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from videopoet_jax.core import errors
from videopoet_jax.data import shard_writer
from videopoet_jax.data.ingest import clips
from videopoet_jax.data.ingest import writer as writer_lib

_CONFIG = clips.ClipConfig(num_frames=5, height=4, width=6)


def _clip(source: str, index: int) -> clips.Clip:
  rng = np.random.default_rng([index, len(source)])
  shape = (_CONFIG.num_frames, _CONFIG.height, _CONFIG.width, 3)
  return clips.Clip(
    clip_id=f'{source}#{index:05d}',
    source=source,
    start=index * _CONFIG.seconds,
    end=(index + 1) * _CONFIG.seconds,
    video_THWC=rng.integers(0, 255, shape, np.uint8),
    audio_T=rng.integers(-99, 99, _CONFIG.num_samples, np.int16),
    has_audio=bool(index % 2),
  )


def _examples(source: str, count: int):
  for index in range(count):
    yield writer_lib.example(_clip(source, index), f'caption {index}', {})


def _writer(output, overwrite=False):
  metadata = {'frame_rate': 8.0, 'sampling_rate': 16_000}
  pieces = shard_writer.ShardWriter.begin(output, {'job': 'test'}, overwrite)
  return writer_lib.DatasetWriter(
    pieces, writer_lib.features(_CONFIG), metadata
  )


def _finish(writer, spills, splits):
  shards = writer.plan_shards(spills, splits)
  for shard in shards:
    writer.write_shard(shard)
  writer.finish(shards)


def _write(output, overwrite=False):
  writer = _writer(output, overwrite)
  spills = writer_lib.plan_spills({'a.mp4': 3.0, 'bb.mp4': 1.5})
  for spill, count in zip(spills, (4, 2), strict=True):
    (source,) = spill.sources
    with writer.spill(spill, {}) as spilled:
      assert spilled.add(source, _examples(source, count)) == count
  splits = {
    'a.mp4': ['train', 'train', None, 'validation'],
    'bb.mp4': ['train', 'train'],
  }
  _finish(writer, spills, splits)


def test_what_is_read_back(tmp_path):
  output = tmp_path / 'deep' / 'set'
  _write(output)
  builder = tfds.builder_from_directory(str(output))
  assert builder.info.metadata['frame_rate'] == 8.0
  assert builder.info.metadata['sampling_rate'] == 16_000
  train = builder.as_data_source('train')
  ids = [example['clip_id'].decode() for example in train]
  assert ids == ['a.mp4#00000', 'a.mp4#00001', 'bb.mp4#00000', 'bb.mp4#00001']
  found, clip = train[3], _clip('bb.mp4', 1)
  np.testing.assert_array_equal(found['video'], clip.video_THWC)
  np.testing.assert_array_equal(found['audio'], clip.audio_T)
  assert found['video'].dtype == np.uint8
  assert found['audio'].dtype == np.int16
  assert found['has_audio']
  assert found['caption'] == b'caption 1'
  assert found['source'] == b'bb.mp4'
  assert found['start'] == np.float32(0.625)
  assert found['end'] == np.float32(1.25)
  assert len(builder.as_data_source('validation')) == 1


def test_several_shards(tmp_path, monkeypatch):
  monkeypatch.setattr(writer_lib, '_SHARD_BYTES', 2**16)
  writer = _writer(tmp_path / 'set')
  spills = writer_lib.plan_spills({'a': 1.0})
  with writer.spill(spills[0], {}) as spilled:
    spilled.add('a', _examples('a', 20))
  _finish(writer, spills, {'a': ['train'] * 20})
  builder = tfds.builder_from_directory(str(tmp_path / 'set'))
  assert builder.info.splits['train'].num_shards > 1
  ids = [e['clip_id'].decode() for e in builder.as_data_source('train')]
  assert ids == [f'a#{i:05d}' for i in range(20)]


def test_a_source_that_fails_halfway_leaves_nothing(tmp_path):
  def failing():
    yield from _examples('bad', 3)
    raise errors.DataError('damaged')

  writer = _writer(tmp_path / 'set')
  spill = writer_lib.Spill(shard_writer.spill('0'), ('a', 'bad', 'c'), 3.0)
  with writer.spill(spill, {}) as spilled:
    spilled.add('a', _examples('a', 2))
    with pytest.raises(errors.DataError, match='damaged'):
      spilled.add('bad', failing())
    spilled.add('c', _examples('c', 1))
    assert spilled.count == 3
  _finish(writer, [spill], {'a': ['train'] * 2, 'c': ['train']})
  source = tfds.builder_from_directory(str(tmp_path / 'set')).as_data_source()
  assert [e['source'] for e in source['train']] == [b'a', b'a', b'c']


def test_sources_are_spilled_by_their_length():
  # Few files: each by itself, so that hosts can share them.
  few = writer_lib.plan_spills({'a': 100.0, 'b': 1.0, 'c': 50.0})
  assert [spill.sources for spill in few] == [('a',), ('b',), ('c',)]
  # Many short ones: ten minutes at most, unless one is longer.
  seconds = {f'{i:05d}': 10.0 for i in range(30_000)} | {'film': 7200.0}
  many = writer_lib.plan_spills(seconds)
  assert [s for spill in many for s in spill.sources] == list(seconds)
  assert len(many) == 501
  assert max(spill.seconds for spill in many[:-1]) == 600
  assert many[-1].sources == ('film',)


def test_existing_set_is_replaced_only_when_asked(tmp_path):
  output = tmp_path / 'set'
  _write(output)
  before = sorted(p.name for p in output.iterdir())
  with pytest.raises(errors.DataError, match='--overwrite'):
    _writer(output)
  _writer(output, overwrite=True)
  assert (output / 'dataset_info.json').is_file()  # The old one is still there.
  _write(output, overwrite=True)
  assert [p.name for p in tmp_path.iterdir()] == ['set']
  assert sorted(p.name for p in output.iterdir()) == before


def test_other_things_are_never_replaced(tmp_path):
  (tmp_path / 'photos').mkdir()
  (tmp_path / 'photos' / 'a.jpg').touch()
  with pytest.raises(errors.DataError, match='not a data set'):
    _writer(tmp_path / 'photos', overwrite=True)
  (tmp_path / 'file').touch()
  with pytest.raises(errors.DataError, match='is a file'):
    _writer(tmp_path / 'file')


def test_place_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(errors.DataError, match='cannot be written'):
    _writer(tmp_path / 'file' / 'set')


def test_full_disk(tmp_path, monkeypatch):
  def full(*args):
    raise OSError(28, 'No space left on device')

  writer = _writer(tmp_path / 'set')
  monkeypatch.setattr(
    shard_writer.array_record_module, 'ArrayRecordWriter', full
  )
  spill = writer_lib.Spill(shard_writer.spill('0'), ('a',), 1.0)
  with pytest.raises(errors.DataError, match='No space left'):
    with writer.spill(spill, {}) as spilled:
      spilled.add('a', _examples('a', 2))
