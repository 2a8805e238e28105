"""Tests of dividing clips: shares, and no neighbours on both sides."""

import itertools

from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest

from videopoet_jax.data.ingest import splits

_COUNTS = st.dictionaries(
  st.text('abcdef', min_size=1, max_size=4),
  st.integers(1, 300),
  min_size=1,
  max_size=8,
)


@settings(deadline=None)
@given(_COUNTS, st.floats(0.0, 0.5))
@example({'a': 207, 'b': 263}, 0.4375)  # Blocks that nearly touch.
def test_properties(counts, share):
  found = splits.assign_splits(counts, share)
  assert {s: len(marks) for s, marks in found.items()} == counts
  marks = [m for column in found.values() for m in column]
  total = len(marks)
  held_out = marks.count('validation')
  if share == 0 or total < 2:
    assert marks == ['train'] * total
  else:
    assert held_out == min(max(1, round(share * total)), total - 1)
    assert 'train' in marks
  for column in found.values():
    for one, next_one in itertools.pairwise(column):
      # In a long file, clips on the two sides are never neighbours.
      if len(column) >= 20:
        assert {one, next_one} != {'train', 'validation'}
  assert splits.assign_splits(counts, share) == found


def test_whole_files_are_held_out_first():
  counts = {f'{i:02d}.mp4': 2 for i in range(50)}
  found = splits.assign_splits(counts, 0.1)
  assert all(len(set(column)) == 1 for column in found.values())
  held_out = [s for s, column in found.items() if 'validation' in column]
  assert len(held_out) == 5


def test_long_film_gives_blocks_from_several_places():
  column = splits.assign_splits({'film.mp4': 280}, 0.05)['film.mp4']
  runs = ''.join((m or '-')[0] for m in column).split('t')
  blocks = [run for run in runs if run]
  assert len(blocks) == 3
  assert all(b.startswith('-v') and b.endswith('v-') for b in blocks)
  assert column.count(None) == 6


@pytest.mark.parametrize('count', [2, 3, 19])
def test_short_film_loses_no_clip(count):
  column = splits.assign_splits({'a': count}, 0.05)['a']
  assert column.count('validation') == 1
  assert None not in column
