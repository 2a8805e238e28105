"""Tests of what a checkpoint folder says of itself."""

import json

import pytest

from videopoet_jax.checkpoints import describe
from videopoet_jax.core import errors


def test_round_trip(tmp_path):
  folder = tmp_path / 'a' / 'b'
  describe.write_description(folder, {'kind': 'thing', 'sizes': [1, 2]})
  found = describe.read_description(folder, 'thing')
  assert found == {'kind': 'thing', 'sizes': [1, 2], 'format_version': 1}
  assert [path.name for path in folder.iterdir()] == [describe.FILE_NAME]


def test_a_kind_is_needed(tmp_path):
  with pytest.raises(ValueError, match='kind'):
    describe.write_description(tmp_path, {'sizes': []})


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{"kind": "thi', 'not a checkpoint description'),
    ('[]', 'not a checkpoint description'),
    ('{"kind": "thing"}', 'not a checkpoint description'),
    (json.dumps({'kind': 'other', 'format_version': 1}), "'other'"),
    (json.dumps({'kind': 'thing', 'format_version': 99}), 'version 99'),
  ],
)
def test_bad_descriptions(tmp_path, text, message):
  (tmp_path / describe.FILE_NAME).write_text(text)
  with pytest.raises(errors.CheckpointError, match=message):
    describe.read_description(tmp_path, 'thing')


def test_missing_empty_and_half_written_folders(tmp_path):
  with pytest.raises(errors.CheckpointError, match='not a folder'):
    describe.read_description(tmp_path / 'nowhere')
  with pytest.raises(errors.CheckpointError, match='empty'):
    describe.read_description(tmp_path)
  (tmp_path / 'params').mkdir()
  with pytest.raises(errors.CheckpointError, match='half written'):
    describe.read_description(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.CheckpointError, match='cannot write'):
    describe.write_description(tmp_path / 'file' / 'x', {'kind': 'thing'})
