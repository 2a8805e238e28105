"""A data set made piece by piece in a bucket, with kills between.

Another process works on `gs://` paths, against the bucket of `tests.fake_gcs`.
"""

import pytest

from tests import fake_gcs
from tests.media import media_files
from tests.preparation import data_files
from tests.training import processes
from videopoet_jax.jobs import cli

pytest.importorskip('gcsfs', reason='gcsfs is not installed (the gcs extra)')

_WORK = """
import json
from array_record.python import array_record_module
from videopoet_jax.core import errors
from videopoet_jax.core import storage
from videopoet_jax.data import shard_writer

OUTPUT = 'gs://bucket/deep/set'
NAMES = ['a', 'b']
said = {}


def begin(overwrite=False):
  return shard_writer.ShardWriter.begin(OUTPUT, {'job': 'test'}, overwrite, 2)


def write(pieces, name):
  with pieces.piece(name, 'group_size:1', {'told': name}) as records:
    records.write(name.encode())


def publish(pieces):
  with shard_writer.description(NAMES) as folder:
    (folder / 'dataset_info.json').write_text('{}')
    (folder / 'features.json').write_text('{}')
    pieces.publish(folder, NAMES)


first = begin()
write(first, 'a')
write(first, shard_writer.spill('0'))
other = shard_writer.ShardWriter.join(storage.path(OUTPUT), 1, 2)
other.tell('word', 7)
said['told'] = first.told('word', 1)
said['same_start'] = first.start == other.start

second = begin()
said['kept'] = sorted(second.finished)
said['forgotten'] = second.told('word', 1)
path = str(second.path(shard_writer.spill('0')))
reader = array_record_module.ArrayRecordReader(path)
said['spilled'] = reader.read([0])[0].decode()
write(second, 'b')

# A kill when the pieces have been moved and nothing says what they are.
copy = storage.copy_file


def killed(origin, target):
  if target.name == 'dataset_info.json':
    raise KeyboardInterrupt
  copy(origin, target)


storage.copy_file = killed
try:
  publish(second)
except KeyboardInterrupt:
  pass
storage.copy_file = copy
said['half'] = (storage.path(OUTPUT) / 'dataset_info.json').is_file()
third = begin()
said['all_kept'] = sorted(third.finished)
publish(third)
try:
  begin()
except errors.DataError as error:
  said['again'] = str(error)
print('RESULT ' + json.dumps(said))
"""


def test_pieces_in_a_bucket():
  said, names = fake_gcs.run(_WORK)
  assert said.pop('again').startswith('gs://bucket/deep/set exists already')
  assert said == {
    'told': 7,
    'same_start': True,
    'kept': ['.job/spill/0', 'a'],
    'forgotten': None,
    'spilled': '.job/spill/0',
    'half': False,
    'all_kept': ['.job/spill/0', 'a', 'b'],
  }
  assert names == [
    f'bucket/deep/set/{name}'
    for name in ('a', 'b', 'dataset_info.json', 'features.json')
  ]


@pytest.mark.multi_process
def test_two_hosts_prepare_clips_in_a_bucket(tmp_path, monkeypatch):
  videos = tmp_path / 'videos'
  videos.mkdir()
  for index in range(3):
    media_files.ramp_file(videos / f'{index}.mp4', 2.0 + index)
  flags = [
    '--input', str(videos), '--frames', '5', '--height', '16', '--width', '16',
    '--output',
  ]  # fmt: skip
  assert cli.main(['prepare', *flags, str(tmp_path / 'one')]) == 0
  with fake_gcs.serve() as (bucket, environment):
    for name, value in environment.items():
      monkeypatch.setenv(name, value)
    command = ['videopoet_jax.jobs.prepare', *flags, 'gs://bucket/clips']
    processes.finish(processes.start(command, processes=2))
    found = {
      name.removeprefix('bucket/clips/'): bucket.objects[name].content
      for name in bucket.names()
    }
  assert found == data_files.read(tmp_path / 'one')
