"""The splits, and the combinations that only the held-out split shows.

A triple of kind, colour and direction is held out by a rule that spreads the 18
held-out triples so that every pair of them still occurs in training: the model
has to combine known attributes in a new way.
"""

import itertools

from videopoet_jax.core import errors
from videopoet_jax.shapes import attributes

TRAIN = 'train'
VALIDATION = 'validation'
TEST_HELD_OUT = 'test_held_out'
SPLITS = (TRAIN, VALIDATION, TEST_HELD_OUT)
# Clips of each split, unless a data set overrides them.
CLIPS = {TRAIN: 12_000, VALIDATION: 512, TEST_HELD_OUT: 512}


def is_held_out(kind: int, colour: int, direction: int) -> bool:
  """Whether a triple never occurs in training."""
  return (3 * kind + 5 * colour + direction) % 8 == 0


_ALL = tuple(
  itertools.product(
    range(len(attributes.KINDS)),
    range(len(attributes.COLOURS)),
    range(len(attributes.DIRECTIONS)),
  )
)
_HELD_OUT = tuple(triple for triple in _ALL if is_held_out(*triple))
_SEEN = tuple(triple for triple in _ALL if not is_held_out(*triple))


def triples(split: str) -> tuple[tuple[int, int, int], ...]:
  """The (kind, colour, direction) triples that a split draws from.

  Args:
    split: one of `SPLITS`.

  Returns:
    The triples, in a fixed order.

  Raises:
    errors.DataError: the split does not exist.
  """
  return _HELD_OUT if number(split) == 2 else _SEEN


def number(split: str) -> int:
  """Index of a split in `SPLITS`; raises errors.DataError if unknown."""
  if split not in SPLITS:
    raise errors.DataError(
      f'Shapes in motion has no split {split!r}; it has {", ".join(SPLITS)}.'
    )
  return SPLITS.index(split)
