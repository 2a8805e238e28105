"""What is done is on disk, whole, and is not done again."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.evaluation import sample_store


def _stream(tmp_path, total=10, host=0):
  journal = sample_store.Journal(tmp_path, host)
  return sample_store.Stream(tmp_path / 'task', 'task', total, journal, host)


def _finish(stream, *numbers):
  indices = np.array(numbers)
  stream.begin(indices)
  stream.finish(indices, {'psnr/value': indices * 1.5}, {'generate': 2.0})


def test_pieces_of_any_size_and_order_join(tmp_path):
  stream = _stream(tmp_path)
  _finish(stream, 4, 5, 9)
  _finish(stream, 0, 1, 2)
  np.testing.assert_array_equal(stream.missing(), [3, 6, 7, 8])
  again = _stream(tmp_path, host=1)
  np.testing.assert_array_equal(again.missing(), [3, 6, 7, 8])
  _finish(again, 3, 6, 7, 8)
  stream.refresh()
  blocks = [b['psnr/value'] for b in stream.blocks(0, 10, 4)]
  assert [len(block) for block in blocks] == [4, 4, 2]
  np.testing.assert_array_equal(np.concatenate(blocks), np.arange(10) * 1.5)
  assert stream.seconds['generate'] == 6.0
  parts = [b['psnr/value'] for b in stream.blocks(2, 6, 4)]
  np.testing.assert_array_equal(parts[0], np.arange(2, 6) * 1.5)


def test_missing_samples_cannot_be_added_up(tmp_path):
  stream = _stream(tmp_path)
  _finish(stream, *range(9))
  with pytest.raises(errors.DataError, match='samples of task are missing'):
    list(stream.blocks(0, 10, 4))


def test_a_damaged_piece_is_done_again(tmp_path):
  stream = _stream(tmp_path)
  _finish(stream, *range(5))
  _finish(stream, *range(5, 10))
  (first, _) = sorted((tmp_path / 'task' / sample_store.PIECES).iterdir())
  first.write_bytes(first.read_bytes()[:100])
  np.testing.assert_array_equal(_stream(tmp_path).missing(), range(5))


def test_half_written_files_are_not_there(tmp_path):
  stream = _stream(tmp_path)
  _finish(stream, 0, 1)
  folder = tmp_path / 'task' / sample_store.PIECES
  (folder / '0000002_00002_0.npz.77.partial').write_bytes(b'half')
  np.testing.assert_array_equal(_stream(tmp_path).missing(), range(2, 10))
  stream.forget()
  assert not folder.exists()


def test_journal_survives_half_a_line(tmp_path):
  journal = sample_store.Journal(tmp_path)
  journal.note('begin', 'task', [0, 1])
  with (tmp_path / 'journal_0.jsonl').open('a') as file:
    file.write('{"event": "do')
  journal.note('done', 'task', np.array([0, 1]))
  lines = sample_store.read_journals(tmp_path)
  assert [(line['event'], line['indices']) for line in lines] == [
    ('begin', [0, 1]),
    ('done', [0, 1]),
  ]


def test_unwritable_folder_is_one_message(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.DataError, match='give an --out that can be'):
    sample_store.write_json(tmp_path / 'file' / 'done.json', {})
