"""Which triples a split draws from, and that pairs of them are known."""

import pytest

from videopoet_jax.core import errors
from videopoet_jax.shapes import splits


def test_held_out_triples_are_new_but_their_pairs_are_not():
  held_out = set(splits.triples(splits.TEST_HELD_OUT))
  seen = set(splits.triples(splits.TRAIN))
  assert len(held_out) == 18 and len(seen) == 126 and not held_out & seen
  for first, second in ((0, 1), (0, 2), (1, 2)):
    pairs = {(triple[first], triple[second]) for triple in held_out}
    assert pairs <= {(triple[first], triple[second]) for triple in seen}


def test_the_first_held_out_triples_by_hand():
  # 3 kind + 5 colour + direction is a multiple of 8.
  wanted = {(0, 0, 0), (0, 1, 3), (0, 2, 6), (1, 0, 5), (2, 0, 2), (2, 5, 1)}
  held_out = set(splits.triples(splits.TEST_HELD_OUT))
  assert wanted <= held_out
  for kind, colour, direction in wanted:
    assert splits.is_held_out(kind, colour, direction)
    assert not splits.is_held_out(kind, colour, (direction + 1) % 8)


def test_validation_draws_from_what_training_draws_from():
  assert splits.triples(splits.VALIDATION) == splits.triples(splits.TRAIN)
  assert splits.triples(splits.TEST_HELD_OUT) != splits.triples(splits.TRAIN)


def test_every_split_has_a_number_and_a_size():
  assert [splits.number(name) for name in splits.SPLITS] == [0, 1, 2]
  assert set(splits.CLIPS) == set(splits.SPLITS)
  with pytest.raises(errors.DataError, match="no split 'test'.*train, val"):
    splits.triples('test')
