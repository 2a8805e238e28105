"""The order of a stream: by seed and position, for any number of hosts."""

import itertools

import numpy as np
import pytest
import seqio

from videopoet_jax.core import errors
from videopoet_jax.core import permutation
from videopoet_jax.data import records
from videopoet_jax.data import source


def _clips(directory, count, hosts=1, host=0, seed=3, **options):
  stream = source.IndexedSource(
    directory, features=['clip_id'], batch_size=8, **options
  )
  dataset = stream.get_dataset(
    'train', seed=seed, shard_info=seqio.ShardInfo(host, hosts)
  )
  examples = itertools.islice(dataset.as_numpy_iterator(), count)
  return [(e['clip_id'].decode(), int(e['position'])) for e in examples]


def test_two_streams_are_equal_and_an_epoch_shows_every_clip_once(token_set):
  first = _clips(token_set, 100)
  assert first == _clips(token_set, 100)
  ids = [clip for clip, _ in first]
  assert sorted(ids[:50]) == sorted(f'clip-{i}' for i in range(50))
  assert sorted(ids[50:]) == sorted(ids[:50])
  assert ids[:50] != ids[50:]
  assert [position for _, position in first] == list(range(100))


def test_entering_in_the_middle_equals_reading_from_the_start(token_set):
  whole = _clips(token_set, 96)
  for start in (1, 5, 11):
    assert _clips(token_set, 8, start=start) == whole[8 * start : 8 * start + 8]


@pytest.mark.parametrize('hosts', [2, 4])
def test_hosts_share_one_global_order(token_set, hosts):
  whole = _clips(token_set, 64)
  part = 8 // hosts
  streams = [_clips(token_set, 64 // hosts, hosts, h) for h in range(hosts)]
  joined = []
  for batch in range(8):
    for stream in streams:
      joined += stream[batch * part : (batch + 1) * part]
  assert joined == whole


def test_seed_and_stream_change_the_order(token_set):
  orders = [
    _clips(token_set, 50),
    _clips(token_set, 50, seed=4),
    _clips(token_set, 50, stream='other'),
  ]
  assert orders[0] != orders[1] != orders[2] != orders[0]


def test_entering_far_away_is_immediate():
  order = source.Order(10_000_000, key=1)
  positions = np.arange(5 * 10**11, 5 * 10**11 + 4)
  indices = order.indices(positions)
  assert ((indices >= 0) & (indices < 10_000_000)).all()
  seeds = order.seeds(positions)
  assert seeds.shape == (4, 2) and seeds.dtype == np.int32
  assert len(np.unique(seeds, axis=0)) == 4


def test_minimum_keeps_the_order_a_function_of_position(token_set):
  selection = source.Selection(minimum=(('quality', 0.5),))
  clips = _clips(token_set, 50, selection=selection)
  ids = {int(clip.split('-')[1]) for clip, _ in clips}
  assert ids == set(range(25, 50))
  later = _clips(token_set, 8, selection=selection, start=2)
  assert later == clips[16:24]


def test_a_minimum_that_is_asked_only_where_it_can_be(token_set):
  absent = source.Selection(minimum=(('has_audio?', 1),))
  assert _clips(token_set, 8, selection=absent) == _clips(token_set, 8)
  present = source.Selection(minimum=(('quality?', 0.5),))
  assert _clips(token_set, 8, selection=present) != _clips(token_set, 8)
  with pytest.raises(errors.DataError, match="no feature 'has_audio'"):
    _clips(
      token_set, 1, selection=source.Selection(minimum=(('has_audio', 1),))
    )


def test_predicate_is_evaluated_once(token_set):
  seen = []

  def predicate(example):
    seen.append(example['clip_id'])
    return example['clip_id'].endswith(b'7')

  selection = source.Selection(predicate=predicate)
  for _ in range(2):
    clips = _clips(token_set, 10, selection=selection)
  assert {clip for clip, _ in clips} == {
    'clip-7',
    'clip-17',
    'clip-27',
    'clip-37',
    'clip-47',
  }
  assert len(seen) == 50


def test_what_a_user_can_get_wrong(token_set, tmp_path):
  with pytest.raises(errors.DataError, match='does not exist'):
    records.open_records(tmp_path / 'nowhere')
  with pytest.raises(errors.DataError, match='is empty'):
    records.open_records(tmp_path)
  (tmp_path / 'file').write_text('x')
  with pytest.raises(errors.DataError, match='half written'):
    records.open_records(tmp_path)
  opened = records.open_records(token_set)
  with pytest.raises(errors.DataError, match="did you mean 'train'"):
    opened.size('trian')
  with pytest.raises(errors.DataError, match="did you mean 'video_tokens'"):
    opened.schema(['vide_tokens'])
  with pytest.raises(errors.DataError, match='single number'):
    opened.select('train', {'video_tokens': 1})
  with pytest.raises(errors.DataError, match='meets quality >='):
    opened.select('train', {'quality': 9.0})
  with pytest.raises(errors.DataError, match='divided among 3 hosts'):
    _clips(token_set, 1, hosts=3)
  with pytest.raises(errors.DataError, match='names no data set'):
    source.IndexedSource('').get_dataset()


def test_indices_and_seeds_are_pure_functions_of_the_position():
  order = source.Order(7, key=5)
  positions = np.array([0, 6, 7, 20, 3])
  wanted = [
    permutation.permute(np.array([p % 7]), 7, permutation.fold(5, p // 7))[0]
    for p in positions.tolist()
  ]
  assert order.indices(positions).tolist() == wanted
  on_disk = source.Order(7, key=5, shuffled=False)
  assert on_disk.indices(positions).tolist() == [0, 6, 0, 6, 3]
  key = np.uint64(permutation.fold(5, 'example'))
  hashed = permutation.mix(positions.astype(np.uint64) ^ key)
  halves = order.seeds(positions).view(np.uint32).astype(np.uint64)
  np.testing.assert_array_equal(halves[:, 0] + (halves[:, 1] << 32), hashed)


def test_a_host_reads_a_contiguous_part_of_every_batch():
  assert source.host_positions(3, 8, 1, 4).tolist() == [26, 27]
  assert source.host_positions(0, 8, 0, 1).tolist() == list(range(8))
  parts = [source.host_positions(2, 6, host, 3) for host in range(3)]
  assert np.concatenate(parts).tolist() == list(range(12, 18))


def test_what_seqio_is_told(token_set):
  stream = source.IndexedSource(token_set)
  # An endless stream must be neither kept in memory nor counted.
  assert not stream.caching_permitted
  assert stream.num_input_examples('train') is None
  assert stream.supports_arbitrary_sharding
  assert stream.list_shards('train') == ('train',)
  assert set(stream.splits) == {'train', 'validation'}
  assert stream.directory == token_set
  # Names given for splits stand, whether or not there is a directory.
  for directory in ('', token_set):
    given = source.IndexedSource(directory, splits=['train', 'test'])
    assert set(given.splits) == {'train', 'test'}
  several = source.IndexedSource((token_set, token_set))
  assert several.directory == f'{token_set}, {token_set}'


def test_the_defaults_of_a_stream(token_set):
  stream = source.IndexedSource(token_set)
  plain = list(itertools.islice(stream.get_dataset().as_numpy_iterator(), 4))
  assert set(plain[0]) > {'clip_id', 'text', 'video_tokens', 'quality'}
  explicit = source.IndexedSource(token_set, batch_size=1, start=0, stream='')
  dataset = explicit.get_dataset('train', True, 0, seqio.ShardInfo(0, 1))
  wanted = list(itertools.islice(dataset.as_numpy_iterator(), 4))
  for found, other in zip(plain, wanted, strict=True):
    assert found['clip_id'] == other['clip_id']
    assert found['position'] == other['position']
    np.testing.assert_array_equal(found['seed'], other['seed'])
  assert [int(e['position']) for e in plain] == [0, 1, 2, 3]
  on_disk = stream.get_dataset(shuffle=False).as_numpy_iterator()
  assert [e['clip_id'] for e in itertools.islice(on_disk, 3)] == [
    b'clip-0', b'clip-1', b'clip-2',
  ]  # fmt: skip


def test_numbers_of_records_are_those_that_are_read(token_set):
  for selection in (
    source.Selection(),
    source.Selection(minimum=(('quality', 0.5),)),
  ):
    stream = source.IndexedSource(
      token_set, features=['clip_id'], batch_size=8, selection=selection
    )
    order = stream.order('train', 3, True)
    numbers = stream.numbers('train', order, np.arange(20))
    read = [clip for clip, _ in _clips(token_set, 20, selection=selection)]
    assert [f'clip-{n}' for n in numbers] == read
  assert stream.order('train', 3, True).size == 25
  assert stream.order('train', None, True) == stream.order('train', 0, True)
  assert stream.order('train', 1, True) != stream.order('train', 0, True)
  assert not stream.order('train', 3, False).shuffled
  assert source.Order(3, 0).shuffled


def test_a_stream_is_replaced_by_another_of_the_same_records(token_set):
  stream = source.IndexedSource(
    token_set,
    features=['clip_id'],
    stream='mine',
    batch_size=8,
    start=2,
    selection=source.Selection(minimum=(('quality', 0.5),)),
  )

  def read(stream, count):
    dataset = stream.get_dataset('train', seed=3)
    examples = itertools.islice(dataset.as_numpy_iterator(), count)
    return [(e['clip_id'], int(e['position'])) for e in examples]

  assert read(stream.replace(), 16) == read(stream, 16)
  assert read(stream.replace(start=3), 8) == read(stream, 16)[8:]
  assert set(next(stream.replace().get_dataset().as_numpy_iterator())) == {
    'clip_id', 'position', 'seed',
  }  # fmt: skip
