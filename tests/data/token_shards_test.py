"""Pieces of a token data set: how they are cut, and what is made of them."""

import numpy as np
import pytest

from videopoet_jax.core import errors
from videopoet_jax.data import records
from videopoet_jax.data import shard_writer
from videopoet_jax.data import token_shards
from videopoet_jax.data import tokens


@pytest.mark.parametrize(
  ('examples', 'example_bytes', 'batch', 'files'),
  [
    (500, 22_000, 64, 3),  # At least 4 MiB each, in whole batches.
    (80_000, 22_000, 64, 250),
    (80_000, 284_000, 64, 250),
    (100_000_000, 22_000, 64, 4_102),  # At most 512 MiB each.
  ],
)
def test_files_are_neither_few_nor_small(examples, example_bytes, batch, files):
  counts = {'train': examples}
  size = token_shards.examples_a_file(counts, example_bytes, batch)
  assert size % batch == 0
  assert len(token_shards.plan(counts, size)) == files


def test_a_plan_covers_every_example_once():
  counts = {'train': 10, 'none': 0, 'validation': 3}
  found = token_shards.plan(counts, 4)
  ranges = [(p.split, p.first, p.stop) for p in found]
  assert ranges == [
    ('train', 0, 4), ('train', 4, 8), ('train', 8, 10), ('validation', 0, 3),
  ]  # fmt: skip
  assert found[2].name == 'tokens-train.array_record-00002-of-00003'


def _example(index):
  return {'video_tokens': np.full((1, 2, 2), index, np.int32), 'text': 'ab'}


def test_pieces_in_any_order_are_the_data_set(tmp_path):
  folder = shard_writer.ShardWriter.begin(tmp_path / 'set', {})
  writer = token_shards.TokenShardWriter(folder)
  planned = token_shards.plan({'train': 5}, 2)
  for piece in reversed(planned):
    writer.write(piece, map(_example, range(piece.first, piece.stop)))
  assert not writer.left(planned)
  info = tokens.TokenInfo(clip=(1, 16, 16))
  features = writer.finish(planned, info, {'frame_rate': 8.0})
  assert features == ('video_tokens', 'text')
  opened = records.open_records(tmp_path / 'set')
  assert opened.metadata['frame_rate'] == 8.0
  assert tokens.read_info(tmp_path / 'set') == info
  found = list(opened.examples('train').as_numpy_iterator())
  assert [int(e['video_tokens'][0, 0, 0]) for e in found] == list(range(5))


def test_pieces_that_do_not_go_together_are_refused(tmp_path):
  folder = shard_writer.ShardWriter.begin(tmp_path / 'set', {})
  writer = token_shards.TokenShardWriter(folder)
  first, second = token_shards.plan({'train': 2}, 1)
  with pytest.raises(errors.DataError, match='has changed'):
    writer.write(first, [])
  writer.write(first, [_example(0)])
  writer.write(second, [{'video_tokens': np.zeros((1, 2, 2), np.int32)}])
  with pytest.raises(errors.DataError, match='differs from the first'):
    writer.finish([first, second], tokens.TokenInfo(), {})
  with pytest.raises(errors.DataError, match='no example'):
    writer.finish([], tokens.TokenInfo(), {})
