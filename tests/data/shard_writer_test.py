"""Pieces of a data set: whole or not there, and what a later start finds."""

import threading

import pytest

from videopoet_jax.core import errors
from videopoet_jax.data import shard_writer

_OPTIONS = 'group_size:1'
_SETTINGS = {'job': 'test', 'size': (1, 2)}


def _write(pieces, name, records=(b'one', b'three'), **info):
  with pieces.piece(name, _OPTIONS, info) as written:
    for record in records:
      written.write(record)


def _publish(pieces, names):
  with shard_writer.description(names) as folder:
    (folder / 'dataset_info.json').write_text('{}')
    pieces.publish(folder, names)


def test_a_later_start_goes_on_with_whole_pieces(tmp_path):
  output = tmp_path / 'set'
  first = shard_writer.ShardWriter.begin(output, _SETTINGS)
  _write(first, 'a', told='x')
  with pytest.raises(KeyboardInterrupt):
    with first.piece('b', _OPTIONS, {}) as written:
      written.write(b'half')
      raise KeyboardInterrupt
  assert not first.path('b').exists()
  assert first.leave()

  second = shard_writer.ShardWriter.begin(output, _SETTINGS)
  assert second.start != first.start
  (name,) = second.finished
  assert name == 'a'
  assert second.finished[name].items() >= {
    'told': 'x', 'records': 2, 'bytes': 8,
  }.items()  # fmt: skip
  # After a power cut, a name may stand for less than was written.
  second.path('a').write_bytes(b'')
  assert not shard_writer.ShardWriter.begin(output, _SETTINGS).finished


def test_pieces_of_other_settings_are_not_taken(tmp_path):
  _write(shard_writer.ShardWriter.begin(tmp_path / 'set', _SETTINGS), 'a')
  other = shard_writer.ShardWriter.begin(tmp_path / 'set', {'job': 'other'})
  assert not other.finished
  assert not other.path('a').exists()
  assert not other.leave()
  assert list(tmp_path.iterdir()) == []


def test_the_data_set_appears_at_the_end_and_holds_only_what_it_should(
  tmp_path,
):
  output = tmp_path / 'set'
  pieces = shard_writer.ShardWriter.begin(output, _SETTINGS)
  _write(pieces, 'a')
  _write(pieces, shard_writer.spill('0'))
  assert not output.exists()
  _publish(pieces, ['a'])
  assert [p.name for p in tmp_path.iterdir()] == ['set']
  assert {p.name for p in output.iterdir()} == {'a', 'dataset_info.json'}


def test_what_a_kill_between_two_names_leaves_is_put_right(tmp_path):
  """The old data set has another name, the new one not yet its own."""
  output = tmp_path / 'set'
  for records in ((b'old',), (b'new',)):
    pieces = shard_writer.ShardWriter.begin(output, _SETTINGS, overwrite=True)
    _write(pieces, 'a', records)
    if records == (b'old',):
      _publish(pieces, ['a'])
  output.rename(tmp_path / 'set.partial-old')
  again = shard_writer.ShardWriter.begin(output, _SETTINGS, overwrite=True)
  assert set(again.finished) == {'a'}
  _publish(again, ['a'])
  assert [p.name for p in tmp_path.iterdir()] == ['set']


def test_hosts_tell_each_other(tmp_path):
  output = tmp_path / 'set'
  hosts = [shard_writer.ShardWriter.begin(output, _SETTINGS, count=3)]
  hosts += [shard_writer.ShardWriter.join(output, i, 3) for i in (1, 2)]
  assert len({host.start for host in hosts}) == 1
  found = {}

  def work(index):
    _write(hosts[index], f'piece-{index}')
    found[index] = hosts[index].exchange('word', {'from': index})
    hosts[index].gather('pieces', last=True)
    if index == 0:
      # Nobody looks for what another has told any more.
      (hosts[0].folder).rename(tmp_path / 'gone')

  threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(60)
  assert found == {i: [{'from': j} for j in range(3)] for i in range(3)}
  for host in hosts:
    assert set(host.finished) == {f'piece-{i}' for i in range(3)}
  (tmp_path / 'gone').rename(hosts[0].folder)
  # What was told in one start is nothing in the next.
  assert (
    shard_writer.ShardWriter.begin(output, _SETTINGS).told('word', 1) is None
  )


def test_a_host_that_does_not_see_the_folder_knows(tmp_path):
  assert shard_writer.ShardWriter.join(tmp_path / 'set', 1, 2) is None


def test_a_place_that_is_taken_is_said_before_any_work(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(errors.DataError, match='is a file'):
    shard_writer.ShardWriter.begin(tmp_path / 'file', _SETTINGS)
  with pytest.raises(errors.DataError, match='cannot be written'):
    shard_writer.ShardWriter.begin(tmp_path / 'file' / 'set', _SETTINGS)
  with pytest.raises(errors.DataError, match='not a data set'):
    shard_writer.ShardWriter.begin(tmp_path, _SETTINGS, overwrite=True)
  with pytest.raises(errors.DataError, match='exists already'):
    shard_writer.ShardWriter.begin(tmp_path, _SETTINGS)
  assert [p.name for p in tmp_path.iterdir()] == ['file']
